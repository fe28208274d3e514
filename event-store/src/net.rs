//! TCP connections as the server wants them: nothing on either side waits to save packets.
//!
//! Released Rust clients do not set `TCP_NODELAY`. Their small writes come in two segments, and the
//! second waits until the first is acknowledged, which Linux delays by 40 ms. The server
//! acknowledges at once instead; the kernel forgets that wish, so it is made again after each read.
//! TLS lies above that, and each handshake is a task of its own: one that fails or never ends is of
//! no concern to other connections.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::tls::Tls;

/// Handshakes at a time; more connections wait to be accepted.
const HANDSHAKES: usize = 4096;
/// A handshake that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that acknowledges and sends at once.
pub(crate) struct PromptStream(TcpStream);

impl PromptStream {
    fn new(stream: TcpStream) -> Self {
        // Both are wishes: a connection works without them.
        let _ = stream.set_nodelay(true);
        let prompt = Self(stream);
        prompt.acknowledge_at_once();
        prompt
    }

    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&self.0).set_tcp_quickack(true);
    }
}

/// A connection that gRPC can be spoken on.
pub(crate) enum Connection {
    Clear(PromptStream),
    Secure(Box<TlsStream<PromptStream>>),
}

/// Accepts connections until it is dropped; one that fails to be accepted ends none.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
) -> impl futures::Stream<Item = io::Result<Connection>> {
    let door = Door { listener, tls, handshakes: JoinSet::new() };
    futures::stream::unfold(door, |mut door| async move {
        let connection = door.next().await;
        Some((Ok(connection), door))
    })
}

struct Door {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    handshakes: JoinSet<Option<Connection>>,
}

impl Door {
    /// The next connection that is ready.
    async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES => {
                    match accepted {
                        Ok((stream, _)) => {
                            let stream = PromptStream::new(stream);
                            match &self.tls {
                                None => return Connection::Clear(stream),
                                Some(tls) => self.handshakes.spawn(shake_hands(stream, tls.acceptor())),
                            };
                        }
                        Err(error) => {
                            tracing::warn!(%error, "a connection could not be accepted");
                            // Too many open files pass when others close; meanwhile this must not
                            // spin.
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                }
                Some(shaken) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
            }
        }
    }
}

async fn shake_hands(
    stream: PromptStream,
    acceptor: tokio_rustls::TlsAcceptor,
) -> Option<Connection> {
    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Connection::Secure(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

impl AsyncRead for PromptStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.0).poll_read(context, buffer);
        if result.is_ready() {
            self.acknowledge_at_once();
        }
        result
    }
}

impl AsyncWrite for PromptStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl Connection {
    fn tcp(&self) -> &PromptStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Secure(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Secure(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(stream) => stream.is_write_vectored(),
            Self::Secure(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.tcp().0.connect_info()
    }
}
