//! Between a stream of events and its socket: the next piece is made when the last one is gone.
//!
//! hyper takes a body's pieces ahead of the socket, a dozen and more. For a client that does not read each of them would be memory that
//! nobody will ever want, and work that slows those who read. So a stream notes what it handed out, the connection notes
//! when all of that went to the system, and in between the stream is not asked for more: a client that does not read costs one piece,
//! and is woken by nothing that happens.
//!
//! Such a client is known by its socket being full, and until then it is work like any other. So the system keeps little for a connection
//! that has become a stream ([`SEND_BUFFER`]); one that reads does not notice, since all it misses is sent as one piece later.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream, task::AtomicWaker};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the system keeps of a stream for a client, in bytes. Linux takes twice that and counts what it needs for itself.
const SEND_BUFFER: usize = 8 * 1024;

/// A connection of the system's, whose buffers have a size.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Sets how much the system keeps that the client has not read.
    fn set_send_buffer(&self, bytes: usize) -> io::Result<()>;
}

impl Socket for tokio::net::TcpStream {
    fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(self).set_send_buffer_size(bytes)
    }
}

#[cfg(unix)]
impl Socket for tokio::net::UnixStream {
    fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(self).set_send_buffer_size(bytes)
    }
}

#[cfg(windows)]
impl Socket for tokio::net::windows::named_pipe::NamedPipeServer {
    /// A pipe's buffers are those that it was made with, and small.
    fn set_send_buffer(&self, _bytes: usize) -> io::Result<()> {
        Ok(())
    }
}

/// Says whether what was handed to a connection has gone to the system; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlet(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Something was handed out that has not gone yet.
    busy: AtomicBool,
    /// The stream that waits for it to go.
    waiting: AtomicWaker,
    /// It has become a stream, and its socket does not know yet.
    stream: AtomicBool,
}

impl Outlet {
    /// A body without an end, of which each piece is made when the one before has gone.
    pub(crate) fn stream(self, pieces: impl Stream<Item = Bytes> + Send + 'static) -> Body {
        self.0.stream.store(true, Ordering::Release);
        let mut pieces = Box::pin(pieces);
        Body::from_stream(stream::poll_fn(move |cx| {
            ready!(self.poll_gone(cx));
            let piece = ready!(pieces.poll_next_unpin(cx));
            self.0.busy.store(piece.is_some(), Ordering::Release);
            Poll::Ready(piece.map(Ok::<_, Infallible>))
        }))
    }

    /// Waits until all that was handed out has gone.
    fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.0.busy.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.0.waiting.register(cx.waker());
        if self.0.busy.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(()) }
    }

    fn gone(&self) {
        if self.0.busy.swap(false, Ordering::AcqRel) {
            self.0.waiting.wake();
        }
    }
}

/// A connection that tells its [`Outlet`] when nothing is left to write: hyper flushes then, and only then.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    outlet: Outlet,
}

impl<S> Wire<S> {
    pub(crate) const fn new(stream: S, outlet: Outlet) -> Self {
        Self { stream, outlet }
    }
}

impl<S: Socket> Wire<S> {
    fn before_writing(&self) {
        if self.outlet.0.stream.swap(false, Ordering::AcqRel) {
            // Without it a client that does not read only costs longer.
            let _ = self.stream.set_send_buffer(SEND_BUFFER);
        }
    }
}

impl<S: Socket> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Socket> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.before_writing();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.before_writing();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.outlet.gone();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::response::Response;
    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    impl Socket for DuplexStream {
        fn set_send_buffer(&self, _bytes: usize) -> io::Result<()> {
            Ok(())
        }
    }

    const PIECE: usize = 4 * 1024;

    /// Lets everybody do what they can without anything new from outside.
    async fn quiet() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_handed_no_more_than_a_piece() {
        let (mut client, server) = duplex(PIECE / 2);
        let (outlet, made) = (Outlet::default(), Arc::new(AtomicUsize::new(0)));
        let (stream, count) = (Wire::new(server, outlet.clone()), Arc::clone(&made));
        let service = service_fn(move |_| {
            let (outlet, made) = (outlet.clone(), Arc::clone(&count));
            let pieces = stream::repeat_with(move || {
                made.fetch_add(1, Ordering::Relaxed);
                Bytes::from(vec![b'x'; PIECE])
            });
            std::future::ready(Ok::<_, Infallible>(Response::new(outlet.stream(pieces))))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        quiet().await;
        assert_eq!(made.load(Ordering::Relaxed), 1, "nothing was read of it");
        let mut read = vec![0; 10 * PIECE];
        client.read_exact(&mut read).await.unwrap();
        quiet().await;
        let now = made.load(Ordering::Relaxed);
        assert!((10..=12).contains(&now), "{now} pieces: one that reads gets on, and is not run ahead of");
    }
}
