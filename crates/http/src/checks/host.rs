//! Check 1: the request names us. A page that makes its own name point to 127.0.0.1 still sends its own name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::{extract::Request, http::header};
use types::Code;

use crate::error::Failure;

/// The names by which we may be called, on whatever port, so that tunnels work.
#[derive(Debug)]
pub(crate) struct Hosts(Vec<Name>);

/// What stands before the port.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Ip(IpAddr),
    /// In lower case.
    Text(String),
}

impl Hosts {
    /// The names of loopback, the bound address, and those that the operator adds (with or without a port).
    pub(crate) fn new(more: &[String], bound: Option<SocketAddr>) -> Self {
        let mut names = vec![
            Name::Ip(Ipv4Addr::LOCALHOST.into()),
            Name::Ip(Ipv6Addr::LOCALHOST.into()),
            Name::Text("localhost".to_owned()),
        ];
        names.extend(bound.map(|bound| Name::Ip(bound.ip())));
        for text in more {
            let bare = text.parse::<Ipv6Addr>().map(|ip| Name::Ip(ip.into())).ok();
            match bare.or_else(|| parse(text)) {
                Some(name) => names.push(name),
                None => tracing::warn!(host = text, "--allow-host: this can't be a host; it is left out"),
            }
        }
        Self(names)
    }

    /// Passes a request with one Host that is ours. A target in absolute form must name us too.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Failure> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Failure::new(Code::BadHost, "the request must have one Host header"));
        };
        let host = String::from_utf8_lossy(host.as_bytes());
        self.check_text(&host)?;
        request.uri().authority().map_or(Ok(()), |target| self.check_text(target.as_str()))
    }

    fn check_text(&self, text: &str) -> Result<(), Failure> {
        if parse(text).is_some_and(|name| self.0.contains(&name)) {
            return Ok(());
        }
        let shown: String = text.chars().take(64).collect();
        let detail = format!(
            "{shown:?} is not a name of this daemon; call it 127.0.0.1 or localhost, or start it with --allow-host NAME"
        );
        Err(Failure::new(Code::BadHost, detail))
    }
}

/// `name`, `name:port`, `[ipv6]`, `[ipv6]:port`, and nothing else.
fn parse(text: &str) -> Option<Name> {
    let (name, rest) = if let Some(inner) = text.strip_prefix('[') {
        let (ip, rest) = inner.split_once(']')?;
        (Name::Ip(ip.parse::<Ipv6Addr>().ok()?.into()), rest)
    } else {
        let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        (named(name)?, rest)
    };
    let port_is_fine = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    port_is_fine.then_some(name)
}

fn named(text: &str) -> Option<Name> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(Name::Ip(ip.into()));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (!text.is_empty() && text.bytes().all(plain)).then(|| Name::Text(text.to_ascii_lowercase()))
}

fn is_port(text: &str) -> bool {
    // A number may be parsed with a sign, a port may not have one.
    text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_on_any_port_and_nothing_else() {
        let bound = "192.168.1.5:8787".parse().unwrap();
        let hosts = Hosts::new(&["Box.Example".into(), "other:1".into(), "fd00::1".into(), "a b".into()], Some(bound));
        for ours in [
            "127.0.0.1",
            "127.0.0.1:8787",
            "localhost",
            "LOCALHOST:1",
            "LocalHost:65535",
            "[::1]",
            "[::1]:8787",
            "[0:0:0:0:0:0:0:1]:8787",
            "192.168.1.5",
            "192.168.1.5:9",
            "box.example",
            "BOX.EXAMPLE:443",
            "other",
            "other:2",
            "[fd00::1]:8787",
        ] {
            assert!(hosts.check_text(ours).is_ok(), "{ours:?}");
        }
        for foreign in [
            "",
            " ",
            "evil.example",
            "evil.example:8787",
            "localhost.",
            "localhost.:8787",
            "127.0.0.1.",
            "127.0.0.1.nip.io",
            "localhost.evil.example",
            "xlocalhost",
            "user@localhost",
            "user:pw@localhost:8787",
            "localhost:99999",
            "localhost:65536",
            "localhost:0",
            "localhost:",
            "localhost:+80",
            "localhost:-1",
            "localhost:8787x",
            "localhost: 8787",
            "localhost:8787:1",
            "localhost:000080",
            "localhost/",
            "localhost#",
            "http://localhost",
            "localhost, localhost",
            "127.1",
            "0x7f000001",
            "2130706433",
            "127.000.000.001",
            "0.0.0.0",
            "127.0.0.2",
            "::1",
            "[::1",
            "[::1]x",
            "[::1%25lo]",
            "[::1]:",
            "[]",
            "[localhost]",
            "[::ffff:127.0.0.1]",
            "[::]",
            "lоcalhost",
            "box.example.",
            "a b",
            "*",
        ] {
            assert!(hosts.check_text(foreign).is_err(), "{foreign:?}");
        }
    }
}
