//! Smuggling: a request that two readers would take apart differently, so that the second of them finds one that the first has not seen.
//!
//! In each the hidden request is a good one. It must never be answered: the connection ends behind what it hides in.

use anyhow::Result;

use crate::{
    fake_codex_rig::Rig,
    table::{BODY, Case, address, answers, assert_harmless, post},
    wire::raw,
};

#[tokio::test]
async fn no_request_hides_in_another() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let hidden = format!(
        "POST /start HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    // `outer`: its header lines and its body; what is hidden follows.
    let case = |what: &str, headers: &str, body: &str, statuses: &'static [u16]| {
        let outer = format!("POST /continue HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n{body}");
        Case::new(what, format!("{outer}{hidden}"), statuses)
    };
    let all = hidden.len() + 5;
    let cases = [
        // Two lengths: one counts what is hidden as a body, the other does not.
        case("CL.TE", &format!("Content-Length: {all}\r\nTransfer-Encoding: chunked\r\n"), "0\r\n\r\n", &[400]),
        case("TE.CL", &format!("Transfer-Encoding: chunked\r\nContent-Length: {all}\r\n"), "0\r\n\r\n", &[400]),
        case("CL.CL", &format!("Content-Length: 0\r\nContent-Length: {all}\r\n"), "", &[400]),
        case("CL.CL reversed", &format!("Content-Length: {all}\r\nContent-Length: 0\r\n"), "", &[400]),
        case("a list of lengths", "Content-Length: 0, 5\r\n", "", &[400]),
        // A coding that one reader knows and the other does not.
        case("TE.TE", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n", &[400]),
        case("TE: not chunked", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", &[400]),
        case("TE: chunked first", "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n", &[400]),
        case("TE: a name with a space", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n", &[400]),
        case("TE: folded", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n", &[400]),
        case("TE: another line end", "X: y\nTransfer-Encoding: chunked\r\n", "zz\r\n\r\n", &[400]),
        case("TE: behind a bare CR", "X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n", &[400]),
        // Lengths that are none.
        case("CL: a sign", "Content-Length: +0\r\n", "", &[400]),
        case("CL: less than nothing", "Content-Length: -1\r\n", "", &[400]),
        case("CL: hexadecimal", "Content-Length: 0x0\r\n", "", &[400]),
        case("CL: nothing", "Content-Length:\r\n", "", &[400]),
        case("CL: a word", "Content-Length: zero\r\n", "", &[400]),
        case("CL: over 2^64", "Content-Length: 18446744073709551616\r\n", "", &[400]),
        case("CL: 2^64 - 1", "Content-Length: 18446744073709551615\r\n", "", &[413, 431]),
        case("CL: far too many digits", &format!("Content-Length: {}\r\n", "9".repeat(4000)), "", &[400]),
        // Chunks that are none.
        case("a chunk of no number", "Transfer-Encoding: chunked\r\n", "xyz\r\n", &[400]),
        case("a chunk of a negative number", "Transfer-Encoding: chunked\r\n", "-1\r\n", &[400]),
        case("a chunk over 2^64", "Transfer-Encoding: chunked\r\n", "10000000000000000\r\n", &[400]),
        case("a chunk that goes on behind its end", "Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n", &[400]),
        case("a chunk with a bare line feed", "Transfer-Encoding: chunked\r\n", "0\n\n", &[400]),
    ];
    assert_harmless(&rig, &cases, "").await
}

/// What hides in it is of no use to anybody here: already what is around it must not be let in.
#[tokio::test]
async fn two_lengths_are_refused_where_they_agree_or_one_would_win() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let (whole, long) =
        (format!("Content-Length: {}\r\n", BODY.len()), format!("Content-Length: {}\r\n", chunked.len()));
    let te = "Transfer-Encoding: chunked\r\n";
    let case = |what: &str, headers: &str, body: &str| {
        let head = format!("POST /start HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}");
        // A good one follows on the same connection.
        Case::new(what, format!("{head}\r\n{body}{}", post("/start", &format!("Host: {host}\r\n"))), &[400])
    };
    let cases = [
        case("the same length twice", &format!("{whole}{whole}"), BODY),
        case("a length, then chunks", &format!("{long}{te}"), &chunked),
        case("chunks, then a length", &format!("{te}{long}"), &chunked),
        case("chunks, and a length of nothing", &format!("{te}Content-Length: 0\r\n"), &chunked),
        case("chunked twice, in two lines", &format!("{te}{te}"), &chunked),
        case("chunked twice, in one line", "Transfer-Encoding: chunked, chunked\r\n", &chunked),
        case("chunks of something else", "Transfer-Encoding: gzip, chunked\r\n", &chunked),
        case("by lines that end with a line feed", &format!("{te}{whole}").replace('\r', ""), &chunked),
    ];
    assert_harmless(&rig, &cases, "").await
}

#[tokio::test]
async fn a_good_request_is_the_first_or_the_second_on_its_connection() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let head = format!("POST /start HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
    let plain = format!("{head}Content-Length: {}\r\n\r\n{BODY}", BODY.len());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    // Behind chunks a connection is over.
    let came = raw(&rig.tcp(), format!("{plain}{plain}{chunked}{plain}").as_bytes()).await?;
    assert_eq!(answers(&String::from_utf8_lossy(&came)), [200, 200, 200]);
    Ok(())
}

#[tokio::test]
async fn what_is_not_http_is_refused() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let cases = [
        Case::new("no method", format!(" /start HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400]),
        Case::new("no target", format!("POST HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400]),
        Case::new("no space", format!("POST/start HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400]),
        Case::new("a version that is none", format!("POST /start HTTP/9.9\r\nHost: {host}\r\n\r\n"), &[400, 505]),
        Case::new("the first version of HTTP", "GET /sessions\r\n\r\n", &[400]),
        Case::new("a NUL in a header", format!("POST /start HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n"), &[400]),
        Case::new("a header without a name", format!("POST /start HTTP/1.1\r\nHost: {host}\r\n: x\r\n\r\n"), &[400]),
        Case::new("a NUL in the target", format!("GET /sessions\0 HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400]),
        Case::new("a space in the target", format!("GET /sessions x HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400]),
        Case::new("another protocol", "EHLO evil.example\r\n\r\n", &[400]),
    ];
    assert_harmless(&rig, &cases, "").await
}
