//! A server that answers everything with one answer.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::mpsc,
};

pub(crate) const SESSION: &str = r#"{"id":"s1","title":"x","titleSource":"auto","titleLocked":false,"status":"running","cwd":"/w","sandbox":"read-only","approvalPolicy":"on-request","labels":{},"turnCount":1,"createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z","new":{"field":1}}"#;
pub(crate) const TURN: &str = r#"{"id":"u1","sessionId":"s1","kind":"prompt","status":"queued","delivery":"no","prompt":"hello","declined":[],"origin":"cli","principal":"local","position":1,"createdAt":"2026-01-01T00:00:00.000Z"}"#;

/// A request as it arrived: its line, headers and body in one text.
pub(crate) type Heard = mpsc::UnboundedReceiver<String>;

#[derive(Clone)]
pub(crate) struct Script {
    status: u16,
    body: Arc<str>,
    heard: mpsc::UnboundedSender<String>,
}

impl Script {
    pub(crate) fn new(status: u16, body: &str) -> (Self, Heard) {
        let (heard, hear) = mpsc::unbounded_channel();
        (Self { status, body: body.into(), heard }, hear)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let _ = self.heard.send(format!("{} {}\n{:?}\n{text}", parts.method, parts.uri, parts.headers));
        let mut response = Response::new(Full::from(self.body.to_string()));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        if parts.headers.get("idempotency-key").is_some_and(|key| key == "again") {
            response.headers_mut().insert("idempotency-replayed", "true".parse().unwrap());
        }
        Ok(response)
    }

    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(move |request| self.clone().answer(request));
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    pub(crate) async fn on_tcp(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().converse(stream));
            }
        });
        url
    }

    #[cfg(unix)]
    pub(crate) fn on_socket(self, path: &std::path::Path) {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().converse(stream));
            }
        });
    }
}
