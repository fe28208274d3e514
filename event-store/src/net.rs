//! TCP connections as the server wants them: nothing on either side waits to save packets.
//!
//! Released Rust clients do not set `TCP_NODELAY`. Their small writes come in two segments, and the
//! second waits until the first is acknowledged, which Linux delays by 40 ms. The server
//! acknowledges at once instead; the kernel forgets that wish, so it is made again after each read.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// A connection that acknowledges and sends at once.
pub struct PromptStream(TcpStream);

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

/// Accepts connections until it is dropped; one that fails to be accepted ends none.
pub fn incoming(listener: TcpListener) -> impl futures::Stream<Item = io::Result<PromptStream>> {
    futures::stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(PromptStream::new(stream)), listener)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Too many open files pass when others close; meanwhile this must not spin.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    })
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

impl Connected for PromptStream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.0.connect_info()
    }
}
