//! One try by HTTP: a signed POST on a connection of its own, with one deadline for all of it.
//!
//! Any 2xx is a success. Redirects are not followed: the body and its signature are for the address that the operator named. Of
//! the answer no more is read than is told when it is no success.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{Failed, Secret, command::plain, letter::Letter, sign::signature, tls};

/// How much of an answer is read, and told, in bytes.
const ANSWER: usize = 4096;
const WORDS: usize = 300;

/// An address that is posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    tls: bool,
    host: String,
    port: u16,
    /// As the header `Host` names it.
    authority: String,
    path: String,
}

/// An address that can't be posted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is none.
    #[error("it is no address; write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH")]
    NotUrl,
    /// It has a name and a password in it.
    #[error("it has a user or a password in it; the signature says who calls")]
    User,
}

impl Target {
    /// Takes `http[s]://HOST[:PORT][/PATH][?QUERY]` apart.
    ///
    /// # Errors
    /// [`BadUrl`] does not repeat the address: it may have a secret in it.
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        let uri: hyper::Uri = url.trim().parse().map_err(|_| BadUrl::NotUrl)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(BadUrl::NotUrl),
        };
        let authority = uri.authority().ok_or(BadUrl::NotUrl)?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::User);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(BadUrl::NotUrl);
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { tls, host, port, authority: authority.to_string(), path })
    }

    /// Its host, without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// As people are told: without path and query, in which many services keep a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

/// Posts it. What was answered, in words.
pub(crate) async fn post(
    to: &Target,
    secret: &Secret,
    letter: &Letter,
    attempt: u32,
    limit: Duration,
) -> Result<String, Failed> {
    let unreachable = |source| Failed::Unreachable { to: to.shown(), source };
    let (status, answer) = match timeout(limit, exchange(to, secret, letter, attempt)).await {
        Ok(exchanged) => exchanged.map_err(unreachable)?,
        Err(_) => return Err(Failed::Silent { to: to.shown(), limit }),
    };
    if (200..300).contains(&status) {
        return Ok(format!("{} answered {status}", to.shown()));
    }
    let text = String::from_utf8_lossy(&answer);
    let text = text.split_whitespace().map(plain).collect::<Vec<_>>().join(" ");
    let words = text.get(..text.floor_char_boundary(WORDS)).unwrap_or_default().to_owned();
    Err(Failed::Refused { to: to.shown(), status, words })
}

async fn exchange(to: &Target, secret: &Secret, letter: &Letter, attempt: u32) -> io::Result<(u16, Bytes)> {
    let request = Request::post(&to.path)
        .header(header::HOST, &to.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("codexd/", env!("CARGO_PKG_VERSION")))
        .header("X-Codexd-Event", &letter.event)
        .header("X-Codexd-Event-Id", letter.id.0)
        .header("X-Codexd-Attempt", attempt)
        .header("X-Codexd-Signature", signature(secret, &letter.body))
        .body(Full::new(letter.body.clone()))
        .map_err(io::Error::other)?;
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
    if to.tls { converse(tls::over(stream, &to.host).await?, request).await } else { converse(stream, request).await }
}

async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<(u16, Bytes)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends with this future, and with it the connection.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = answer.status().as_u16();
    // What is told is the status; whatever is wrong with the rest of the answer is not our matter.
    let body = Limited::<Incoming>::new(answer.into_body(), ANSWER).collect().await;
    Ok((status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::parse("https://Example.org/a/b?token=x").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("Example.org", 443, "/a/b?token=x"));
        assert_eq!(target.shown(), "https://Example.org", "no path, since there may be a secret in it");
        let target = Target::parse("http://[::1]:8080").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 8080, "/"));
        assert_eq!(target.authority, "[::1]:8080");
        for bad in ["", "x", "/x", "ftp://x/", "http://", "file:///etc/passwd"] {
            assert_eq!(Target::parse(bad), Err(BadUrl::NotUrl), "{bad}");
        }
        assert_eq!(Target::parse("https://me:sesame@x/"), Err(BadUrl::User));
    }
}
