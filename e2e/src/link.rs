//! The link of one client to the stack, which can be lost without a word, as a radio link is: TCP stands
//! still and UDP vanishes, and nobody is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Whether anything passes, and in which network the client is: each one gives it other addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Air {
    passes: bool,
    network: u32,
}

/// A link to an address of HTTP and one of media.
#[derive(Debug)]
pub struct Link {
    /// Where the client goes instead: `{sockets, media}`, each from address to address.
    pub detour: Value,
    air: watch::Sender<Air>,
    tasks: Vec<JoinHandle<()>>,
}

impl Link {
    /// A link to these addresses of HTTP (TCP) and media (UDP), `host:port`.
    pub async fn to(sockets: &[&str], media: &[&str]) -> Result<Self> {
        let air = watch::Sender::new(Air { passes: true, network: 0 });
        let (mut tasks, mut ways) = (vec![], json!({ "sockets": {}, "media": {} }));
        for far in sockets {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ways["sockets"][far] = json!(listener.local_addr()?);
            tasks.push(tokio::spawn(streams(listener, (*far).to_owned(), air.subscribe())));
        }
        for far in media {
            let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
            ways["media"][far] = json!(near.local_addr()?);
            tasks.push(tokio::spawn(datagrams(near, far.parse()?, air.subscribe())));
        }
        Ok(Self { detour: ways, air, tasks })
    }

    /// A link to these addresses of HTTP, and to other devices as their addresses come up.
    pub async fn among_peers(sockets: &[&str]) -> Result<Self> {
        let mut link = Self::to(sockets, &[]).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        link.detour["hub"] = json!(listener.local_addr()?);
        link.tasks.push(tokio::spawn(hub(listener, link.air.subscribe())));
        Ok(link)
    }

    /// Nothing passes any more.
    pub fn lose(&self) {
        self.air.send_modify(|air| air.passes = false);
    }

    /// Everything passes again, in another network: the client has other addresses, and connections
    /// of before are of no use.
    pub fn regain(&self) {
        self.air.send_modify(|air| *air = Air { passes: true, network: air.network + 1 });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Makes a wire to each address that is asked for, by its path, and answers where it begins. The wires
/// go with the task.
async fn hub(listener: TcpListener, air: watch::Receiver<Air>) {
    let mut wires = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        // Whose request fails notices it by itself.
        let _ = wire(client, &mut wires, &air).await;
    }
}

async fn wire(
    mut client: TcpStream,
    wires: &mut JoinSet<()>,
    air: &watch::Receiver<Air>,
) -> Result<()> {
    let mut asked = vec![0; 4096];
    let length = client.read(&mut asked).await?;
    let asked = String::from_utf8_lossy(&asked[..length]);
    let path = asked.split(' ').nth(1).context("a path")?;
    let far: SocketAddr = path.trim_start_matches('/').parse()?;
    let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    let body = near.local_addr()?.to_string();
    wires.spawn(datagrams(near, far, air.clone()));
    let head = format!(
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await?;
    Ok(())
}

async fn streams(listener: TcpListener, far: String, air: watch::Receiver<Air>) {
    while let Ok((near, _)) = listener.accept().await {
        let (far, air) = (far.clone(), air.clone());
        tokio::spawn(async move {
            // Whose connection fails notices it by itself.
            let _ = stream(near, &far, air).await;
        });
    }
}

/// One connection, as long as the client is in the network in which it was made.
async fn stream(near: TcpStream, far: &str, mut air: watch::Receiver<Air>) -> Result<()> {
    let network = air.wait_for(|air| air.passes).await?.network;
    let far = TcpStream::connect(far).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near, far) = (near.into_split(), far.into_split());
    tokio::select! {
        passed = pass(near.0, far.1, air.clone()) => passed,
        passed = pass(far.0, near.1, air.clone()) => passed,
        _ = air.wait_for(|air| air.network != network) => Ok(()),
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut air: watch::Receiver<Air>,
) -> Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        // What was underway when the link went stays there, and so does an end.
        air.wait_for(|air| air.passes).await?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}

type Outside = Arc<Mutex<HashMap<SocketAddr, (u32, Arc<UdpSocket>)>>>;

/// Datagrams, from another port outside for each port inside, as an address translation has it.
async fn datagrams(near: Arc<UdpSocket>, far: SocketAddr, air: watch::Receiver<Air>) {
    let (outside, mut buffer) = (Outside::default(), vec![0; 2048]);
    loop {
        // An error is of a datagram before that did not arrive.
        let Ok((length, client)) = near.recv_from(&mut buffer).await else { continue };
        let now = *air.borrow();
        if !now.passes {
            continue;
        }
        let known = outside.lock().expect("nobody panics with it").get(&client).cloned();
        let socket = match known {
            Some((network, socket)) if network == now.network => socket,
            _ => {
                let Ok(socket) = UdpSocket::bind("127.0.0.1:0").await else { continue };
                let socket = Arc::new(socket);
                let entry = (now.network, socket.clone());
                outside.lock().expect("nobody panics with it").insert(client, entry);
                tokio::spawn(back(socket.clone(), near.clone(), client, now.network, air.clone()));
                socket
            }
        };
        // What is lost is lost.
        let _ = socket.send_to(&buffer[..length], far).await;
    }
}

async fn back(
    socket: Arc<UdpSocket>,
    near: Arc<UdpSocket>,
    client: SocketAddr,
    network: u32,
    mut air: watch::Receiver<Air>,
) {
    let mut buffer = vec![0; 2048];
    loop {
        let length = tokio::select! {
            received = socket.recv(&mut buffer) => received,
            _ = air.wait_for(|air| air.network != network) => return,
        };
        let Ok(length) = length else { continue };
        if air.borrow().passes {
            let _ = near.send_to(&buffer[..length], client).await;
        }
    }
}
