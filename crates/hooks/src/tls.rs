//! HTTPS: rustls with the certificates that this machine trusts, read once, when they are first needed.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

/// Wraps a connection, and makes sure that the other end is this host.
pub(crate) async fn over(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
    static CONNECTOR: OnceCell<TlsConnector> = OnceCell::const_new();
    let read = || async { tokio::task::spawn_blocking(|| connector(trusted())).await.map_err(io::Error::other)? };
    shake(CONNECTOR.get_or_try_init(read).await?, stream, host).await
}

async fn shake<S>(connector: &TlsConnector, stream: S, host: &str) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    connector.connect(name, stream).await
}

fn trusted() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::debug!(%error, "a trusted certificate can't be read");
    }
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(count = roots.len(), unusable, "trusted certificates");
    roots
}

fn connector(roots: RootCertStore) -> io::Result<TlsConnector> {
    if roots.is_empty() {
        return Err(io::Error::other(
            "this machine has no list of trusted certificates (often the package ca-certificates; or name one with SSL_CERT_FILE)",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
