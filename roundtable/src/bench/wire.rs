//! The lightest WebSocket client that speaks to our gateway: the load generator shares two cores
//! with the stack it measures.

use std::io;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

/// Any 16 bytes will do (RFC 6455, 4.1); the answer to them is not checked here.
const NONCE: &str = "cm91bmR0YWJsZS1iZW5jaA==";

/// Room for what arrives while other sockets are looked after.
const READ_AT_ONCE: usize = 64 << 10;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// The reading end of a socket.
pub(super) struct Reader {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
    at_once: usize,
}

/// Opens a socket at `host:port`, shows the token and waits until the gateway is ready.
pub(super) async fn open(address: &str, token: &str) -> Result<(Reader, OwnedWriteHalf)> {
    let stream = TcpStream::connect(address).await.context("the gateway does not answer")?;
    open_on(stream, address, token, READ_AT_ONCE).await
}

/// The same on a connection that is there, with room for so many bytes in one read.
pub(super) async fn open_on(
    mut stream: TcpStream,
    address: &str,
    token: &str,
    at_once: usize,
) -> Result<(Reader, OwnedWriteHalf)> {
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /v1/gateway HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n\
         Sec-WebSocket-Protocol: roundtable.v1\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let (half, mut writer) = stream.into_split();
    let mut reader = Reader { half, buffer: Vec::with_capacity(2 * at_once), at_once };
    reader.handshake().await?;
    let auth = json!({ "op": "auth", "token": token }).to_string();
    let mut frame = Vec::new();
    text_frame(&mut frame, auth.as_bytes());
    writer.write_all(&frame).await?;
    reader.until_ready().await?;
    Ok((reader, writer))
}

impl Reader {
    async fn handshake(&mut self) -> Result<()> {
        loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                ensure!(head.starts_with("HTTP/1.1 101"), "the gateway refused a socket: {head}");
                self.buffer.drain(..end + 4);
                return Ok(());
            }
            let read = self.half.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the gateway hung up during the handshake");
        }
    }

    async fn until_ready(&mut self) -> Result<()> {
        let (mut ready, mut refused) = (false, None);
        while !ready {
            self.frames(|kind, payload| {
                if memmem::find(payload, br#""op":"ready""#).is_some() {
                    ready = true;
                } else if !ready
                    && kind == TEXT
                    && memmem::find(payload, br#""op":"hello""#).is_none()
                {
                    refused = Some(String::from_utf8_lossy(payload).into_owned());
                }
            })?;
            if let Some(refused) = refused {
                bail!("instead of ready the gateway said {refused}");
            }
            if !ready {
                self.fill().await.context("the gateway hung up before it was ready")?;
            }
        }
        Ok(())
    }

    /// Waits until something came.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(self.at_once);
        match self.half.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Shows every whole frame that is there, kind and payload, and lets go of it.
    pub(super) fn frames(&mut self, mut show: impl FnMut(u8, &[u8])) -> io::Result<()> {
        let mut start = 0;
        while let Some((kind, payload)) = frame(&self.buffer[start..])? {
            let end = start + payload.end;
            show(kind, &self.buffer[start + payload.start..end]);
            start = end;
        }
        self.buffer.drain(..start);
        Ok(())
    }
}

/// The first frame in `bytes`, if it is there as a whole: its kind and where its payload is.
fn frame(bytes: &[u8]) -> io::Result<Option<(u8, std::ops::Range<usize>)>> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let (start, length) = match second & 0x7F {
        126 if bytes.len() < 4 => return Ok(None),
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        // A gateway frame is below 64 KiB.
        127 => return Err(io::Error::other("a frame longer than any of ours")),
        short => (2, usize::from(short)),
    };
    // One whole message to a frame, and never masked: what a server of ours sends.
    if first & 0x80 == 0 || second & 0x80 != 0 {
        return Err(io::Error::other("a fragmented or masked frame"));
    }
    let end = start + length;
    Ok((bytes.len() >= end).then_some((first & 0x0F, start..end)))
}

/// Whether the frame ends the socket.
pub(super) fn is_close(kind: u8) -> bool {
    kind == CLOSE
}

/// Whether the frame wants a [`pong`].
pub(super) fn is_ping(kind: u8) -> bool {
    kind == PING
}

/// Appends a text frame.
pub(super) fn text_frame(out: &mut Vec<u8>, payload: &[u8]) {
    masked(out, TEXT, payload);
}

/// Appends the answer to a ping.
pub(super) fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    masked(out, PONG, payload);
}

/// A client has to mask (RFC 6455, 5.3); a mask of zeros changes nothing and costs us nothing.
fn masked(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.push(0x80 | kind);
    if payload.len() < 126 {
        out.push(0x80 | u8::try_from(payload.len()).expect("below 126"));
    } else {
        out.push(0x80 | 126);
        let length = u16::try_from(payload.len()).expect("our commands are below 64 KiB");
        out.extend_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_when_they_are_whole() {
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x81, 126, 0, 130];
        assert_eq!(frame(&bytes).unwrap(), Some((TEXT, 2..4)));
        assert_eq!(frame(&bytes[4..]).unwrap(), None);
        bytes.extend_from_slice(&[b'x'; 130]);
        assert_eq!(frame(&bytes[4..]).unwrap(), Some((TEXT, 4..134)));
        for part in [&[][..], &[0x81], &[0x81, 2, b'h'], &[0x81, 126, 0]] {
            assert_eq!(frame(part).unwrap(), None);
        }
        assert!(frame(&[0x01, 0]).is_err());
    }

    #[test]
    fn what_is_sent_is_masked_with_zeros() {
        let mut out = Vec::new();
        text_frame(&mut out, b"hi");
        assert_eq!(out, [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }
}
