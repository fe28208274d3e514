//! A wire between a process and a server, which a test can cut and mend.

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes TCP connections on to a server while it is whole.
#[derive(Debug)]
pub struct Wire {
    /// The URL of the server, by way of the wire.
    pub url: String,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Wire {
    /// A wire to the server of a URL with host and port.
    pub async fn to(url: &str) -> Result<Self> {
        let (rest, host) = match url.rsplit_once('@') {
            Some((rest, host)) => (format!("{rest}@"), host),
            None => {
                let (scheme, host) = url.split_once("://").context("a URL")?;
                (format!("{scheme}://"), host)
            }
        };
        let (server, path) = host.split_once('/').map_or((host, None), |(s, p)| (s, Some(p)));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let path = path.map(|path| format!("/{path}")).unwrap_or_default();
        let url = format!("{rest}{}{path}", listener.local_addr()?);
        let whole = watch::Sender::new(true);
        let task = tokio::spawn(carry(listener, server.to_owned(), whole.subscribe()));
        Ok(Self { url, whole, task })
    }

    /// Breaks all connections, and new ones at once, until it is mended.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(listener: TcpListener, server: String, whole: watch::Receiver<bool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (server, mut whole) = (server.clone(), whole.clone());
        tokio::spawn(async move {
            if !*whole.borrow() {
                return;
            }
            let Ok(mut far) = TcpStream::connect(server).await else { return };
            let nodelay = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
            if nodelay.is_err() {
                return;
            }
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = whole.wait_for(|whole| !whole) => {}
            }
        });
    }
}
