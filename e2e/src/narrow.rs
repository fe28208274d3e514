//! A way to a server over which only so much comes in a second, so that long work can be met halfway.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often some bytes come.
const TICK: Duration = Duration::from_millis(20);

/// The way; it ends with this.
#[derive(Debug)]
pub struct Narrow {
    /// Where clients go instead.
    pub address: SocketAddr,
    is_narrow: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Narrow {
    /// A way to `far`, over which each connection gets so many bytes a second.
    pub async fn to(far: &str, bytes: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, far) = (listener.local_addr()?, far.to_owned());
        let (is_narrow, narrow) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Whose connection fails notices it by itself.
                tokio::spawn(drip(near, far.clone(), bytes, narrow.clone()));
            }
        });
        Ok(Self { address, is_narrow, task })
    }

    /// From now on everything comes as fast as it can, or as slowly as in the beginning.
    pub fn narrow(&self, is_narrow: bool) {
        self.is_narrow.send_replace(is_narrow);
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drip(
    near: TcpStream,
    far: String,
    bytes: usize,
    narrow: watch::Receiver<bool>,
) -> Result<()> {
    let (mut near, mut to_near) = near.into_split();
    let (mut far, mut to_far) = TcpStream::connect(far).await?.into_split();
    let asked = async { tokio::io::copy(&mut near, &mut to_far).await };
    let answered = async {
        let mut some = vec![0; (bytes / 50).max(1)];
        loop {
            let length = far.read(&mut some).await?;
            if length == 0 {
                return to_near.shutdown().await;
            }
            to_near.write_all(&some[..length]).await?;
            if *narrow.borrow() {
                tokio::time::sleep(TICK).await;
            }
        }
    };
    tokio::try_join!(asked, answered)?;
    Ok(())
}
