//! Checks 1 and 2: by which names we may be called, and from which pages.

use anyhow::Result;
use serde_json::json;

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_refused},
    wire::{Call, Door, exchange},
};

fn address(rig: &Rig) -> String {
    rig.daemon.url.trim_start_matches("http://").to_owned()
}

#[tokio::test]
async fn our_names_with_any_port() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let door = rig.tcp();
    for host in ["127.0.0.1", "127.0.0.1:1", "localhost", "localhost:65535", "[::1]", "[::1]:8787", &address(&rig)] {
        let answer = Call::get("/sessions").host(host).send(&door).await?;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn other_names_are_misdirected() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (door, address) = (rig.tcp(), address(&rig));
    for host in [
        "evil.example",
        "evil.example:8787",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil-localhost",
        "localhost.",
        "127.0.0.1.",
        "localhost.:8787",
        "127.0.0.2",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
    ] {
        for path in ["/sessions", "/health"] {
            assert_refused(&Call::get(path).host(host).ask(&door).await?, 421, "BAD_HOST");
        }
        let body = json!({"prompt": "SAY:x"});
        assert_refused(&Call::json("/start", &body).host(host).ask(&door).await?, 421, "BAD_HOST");
    }
    for hosts in
        [&["localhost", "localhost"][..], &["localhost", "evil.example"], &["evil.example", "localhost"], &[""]]
    {
        let answer = Call::get("/sessions").hosts(hosts).send(&door).await?;
        assert_eq!(answer.status, 421, "{hosts:?}: {}", answer.text());
    }
    // Not a name at all, or none: refused, by whichever layer sees it first.
    for hosts in [
        &["user@localhost"][..],
        &["localhost:port"],
        &["localhost:1:2"],
        &["localhost/x"],
        &["::1"],
        &["local host"],
        &[],
    ] {
        let answer = Call::get("/sessions").hosts(hosts).send(&door).await?;
        assert!(matches!(answer.status, 400 | 421), "{hosts:?}: {} {}", answer.status, answer.text());
    }
    assert_eq!(Call::get("/sessions").host(&address).ask(&door).await?.body, json!({"sessions": []}));
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_target_with_an_authority_of_its_own() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (door, address) = (rig.tcp(), address(&rig));
    let own = format!("http://{address}/sessions");
    assert_eq!(Call::get(&own).send(&door).await?.status, 200, "absolute form");
    assert_eq!(Call::get(&own).host("evil.example").send(&door).await?.status, 421, "a foreign Host");
    let foreign = Call::get("http://evil.example/sessions").host("evil.example");
    assert_eq!(foreign.send(&door).await?.status, 421, "both foreign");
    // RFC 9112, 3.2.2: the target's authority counts, not the header.
    let foreign = Call::get("http://evil.example/sessions");
    assert_eq!(foreign.send(&door).await?.status, 421, "a foreign target");
    Ok(())
}

#[tokio::test]
async fn the_socket_has_no_name() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    for host in ["evil.example", "localhost.", "codexd.sock"] {
        let answer = Call::get("/sessions").host(host).send(&rig.socket()).await?;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
    // Pages don't get there, but a proxy might.
    let foreign = Call::get("/sessions").origin("http://evil.example");
    assert_refused(&foreign.ask(&rig.socket()).await?, 403, "BAD_ORIGIN");
    Ok(())
}

#[tokio::test]
async fn only_pages_of_our_own_origin() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (door, address) = (rig.tcp(), address(&rig));
    let own = format!("http://{address}");
    let body = json!({"prompt": "SAY:ok"});
    assert_answered(&Call::json("/start", &body).origin(&own).ask(&door).await?, "ok");
    // Through a tunnel it has another port, and so has the page.
    for host in ["localhost:9999", "localhost", "[::1]:4000", "127.0.0.1"] {
        let call = Call::json("/start", &body).host(host).origin(&format!("http://{host}"));
        assert_answered(&call.ask(&door).await?, "ok");
    }
    let port = address.split(':').nth(1).unwrap_or_default();
    for origin in [
        "null",
        "",
        "http://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        &format!("https://{address}"),
        &format!("http://localhost:{port}"),
        &format!("http://{address}/"),
        &format!("http://{address}.evil.example"),
        &format!("http://user@{address}"),
        &format!("{own}, {own}"),
        &format!("http://evil.example,{own}"),
        &address,
        "chrome-extension://abcdef",
        "file://",
    ] {
        for call in [Call::get("/sessions"), Call::get("/health"), Call::json("/start", &body)] {
            assert_refused(&call.origin(origin).ask(&door).await?, 403, "BAD_ORIGIN");
        }
    }
    let twice = Call::get("/sessions").origin(&own).origin(&own);
    assert_refused(&twice.ask(&door).await?, 403, "BAD_ORIGIN");
    let both = Call::get("/sessions").origin(&own).origin("http://evil.example");
    assert_refused(&both.ask(&door).await?, 403, "BAD_ORIGIN");
    Ok(())
}

#[tokio::test]
async fn no_answer_has_cors_headers() -> Result<()> {
    let page = "https://ui.example";
    let rig = Rig::new(&["--no-auth", "--allow-origin", page]).await?;
    let door = rig.tcp();
    let preflight = |path: &str| Call::new("OPTIONS", path).header("Access-Control-Request-Method", "POST");
    for (call, status) in [
        (Call::get("/sessions").origin(page), 200),
        (Call::get("/health").origin(page), 200),
        (Call::get("/sessions").origin("https://ui.example:444"), 403),
        (preflight("/start").origin(page), 405),
        (preflight("/start"), 405),
        (preflight("/start").origin("http://evil.example"), 403),
        (Call::json("/start", &json!({"prompt": "SAY:ok"})).origin(page), 200),
        (Call::post("/start", "{}").origin(page), 415),
    ] {
        let answer = call.send(&door).await?;
        assert_eq!(answer.status, status, "{call:?}: {}", answer.text());
        assert_eq!(answer.headers_like("access-control-"), [""; 0]);
    }
    Ok(())
}

#[tokio::test]
async fn more_names_can_be_allowed() -> Result<()> {
    let rig = Rig::new(&["--no-auth", "--allow-host", "box.example"]).await?;
    let door = rig.tcp();
    for host in ["box.example", "box.example:8443", "localhost"] {
        assert_eq!(Call::get("/sessions").host(host).send(&door).await?.status, 200, "{host}");
    }
    for host in ["x.box.example", "box.example.evil", "evil.example", "box.example."] {
        assert_refused(&Call::get("/sessions").host(host).ask(&door).await?, 421, "BAD_HOST");
    }
    let own = Call::get("/sessions").host("box.example:8443").origin("http://box.example:8443");
    assert_eq!(own.send(&door).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn the_bound_address_is_a_name_of_ours() -> Result<()> {
    let rig = Rig::new(&["--no-auth", "--host", "127.0.0.2"]).await?;
    assert!(rig.daemon.url.starts_with("http://127.0.0.2:"), "{}", rig.daemon.url);
    let door = rig.tcp();
    for host in ["127.0.0.2", "127.0.0.2:1", "127.0.0.1", "localhost"] {
        assert_eq!(Call::get("/sessions").host(host).send(&door).await?.status, 200, "{host}");
    }
    assert_refused(&Call::get("/sessions").host("127.0.0.3").ask(&door).await?, 421, "BAD_HOST");
    Ok(())
}

#[tokio::test]
async fn what_is_not_http_is_answered_or_closed() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let door = rig.tcp();
    let Door::Tcp(address) = &door else { anyhow::bail!("not TCP") };
    let smuggled = format!(
        "POST /start HTTP/1.1\r\nHost: {address}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nX"
    );
    let two_lengths = format!(
        "POST /start HTTP/1.1\r\nHost: {address}\r\nContent-Length: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{{}}x"
    );
    let long_header = format!(
        "GET /sessions HTTP/1.1\r\nHost: {address}\r\nX-Long: {}\r\nConnection: close\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let bytes: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"nonsense\r\n\r\n",
        smuggled.as_bytes(),
        two_lengths.as_bytes(),
        long_header.as_bytes(),
    ];
    for bytes in bytes {
        // Whether there is an answer or only an end: none that says yes.
        if let Ok(answer) = exchange(&door, bytes).await {
            assert!(
                answer.status >= 400,
                "{:?}: {}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(200)]),
                answer.text()
            );
        }
    }
    assert_eq!(Call::get("/sessions").ask(&door).await?.body, json!({"sessions": []}));
    rig.assert_calm();
    Ok(())
}
