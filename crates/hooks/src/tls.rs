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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            ServerConfig,
            pki_types::{CertificateDer, PrivateKeyDer},
        },
    };

    use super::*;

    /// Greets whoever shakes hands with it on this port, in the name of `localhost`. Its certificate.
    async fn serve() -> (u16, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let cert = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = acceptor.accept(stream).await;
            }
        });
        (port, cert)
    }

    async fn meet(roots: RootCertStore, port: u16, host: &str) -> io::Result<()> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        shake(&connector(roots)?, stream, host).await.map(drop)
    }

    #[tokio::test]
    async fn only_whom_this_machine_trusts_and_only_under_its_own_name() {
        let (port, cert) = serve().await;
        let trusting = |cert: &CertificateDer<'static>| {
            let mut roots = RootCertStore::empty();
            roots.add(cert.clone()).unwrap();
            roots
        };
        meet(trusting(&cert), port, "localhost").await.unwrap();
        assert!(meet(trusting(&cert), port, "example.org").await.is_err(), "another name");
        let (_, stranger) = serve().await;
        assert!(meet(trusting(&stranger), port, "localhost").await.is_err(), "somebody else's certificate");
        let none = meet(RootCertStore::empty(), port, "localhost").await.unwrap_err();
        assert!(none.to_string().contains("ca-certificates"), "{none}");
    }
}
