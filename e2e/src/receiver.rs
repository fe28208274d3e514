//! A receiver of webhooks elsewhere, of whatever manners: it remembers what it got.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::browsers::installed;
use crate::talk::PATIENCE;

const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bots/verify.py");

/// How it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With a status, and more header lines.
    Status(u16, String),
    /// With a status, after a while.
    Slowly(Duration),
    /// Not at all.
    Never,
    /// With success, and a body without an end.
    Endless,
    /// By hanging up.
    HangUp,
}

impl Answer {
    /// With this status.
    pub fn status(status: u16) -> Self {
        Self::Status(status, String::new())
    }
}

/// What came.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The headers, by their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub body: String,
    /// What it says.
    pub event: Value,
    /// When it had come.
    pub at: Instant,
}

impl Delivery {
    /// Its `webhook-id`.
    pub fn id(&self) -> &str {
        self.headers.get("webhook-id").map_or("", String::as_str)
    }

    /// The type of its event.
    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap_or_default()
    }

    /// The text of its message.
    pub fn text(&self) -> &str {
        self.event["data"]["text"].as_str().unwrap_or_default()
    }
}

#[derive(Debug)]
struct Book {
    answer: Answer,
    deliveries: Vec<Delivery>,
    now: usize,
    most_at_once: usize,
}

/// A receiver at an address of its own on loopback.
#[derive(Debug)]
pub struct Receiver {
    /// Where it is.
    pub url: String,
    book: Arc<Mutex<Book>>,
    count: watch::Receiver<usize>,
    task: AbortHandle,
}

impl Receiver {
    /// Starts one that takes everything.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let answer = Answer::status(204);
        let book = Book { answer, deliveries: vec![], now: 0, most_at_once: 0 };
        let book = Arc::new(Mutex::new(book));
        let (told, count) = watch::channel(0);
        let (shared, told) = (Arc::clone(&book), Arc::new(told));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (book, told) = (Arc::clone(&shared), Arc::clone(&told));
                tokio::spawn(async move { serve(stream, &book, &told).await });
            }
        });
        Ok(Self { url, book, count, task: task.abort_handle() })
    }

    /// How it answers from now on.
    pub fn answer(&self, answer: Answer) {
        self.book.lock().expect("no panic").answer = answer;
    }

    /// What came until now.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.book.lock().expect("no panic").deliveries.clone()
    }

    /// How many requests there were at the same time, at the most.
    pub fn most_at_once(&self) -> usize {
        self.book.lock().expect("no panic").most_at_once
    }

    /// What came, once it is as much as this.
    pub async fn wait(&self, many: usize) -> Result<Vec<Delivery>> {
        let mut count = self.count.clone();
        let waited = tokio::time::timeout(PATIENCE, count.wait_for(|count| *count >= many)).await;
        let all = self.deliveries();
        let kinds: Vec<_> = all.iter().map(|it| (it.kind(), it.text(), it.id())).collect();
        ensure!(waited.is_ok(), "{} of {many} came: {kinds:?}", all.len());
        Ok(all)
    }

    /// What came, once there is such a delivery.
    pub async fn wait_for(&self, what: impl Fn(&Delivery) -> bool) -> Result<Vec<Delivery>> {
        let mut count = self.count.clone();
        let there = count.wait_for(|_| self.deliveries().iter().any(&what));
        ensure!(tokio::time::timeout(PATIENCE, there).await.is_ok(), "{:?}", self.deliveries());
        Ok(self.deliveries())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, book: &Mutex<Book>, told: &watch::Sender<usize>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let delivery = read(&mut stream).await?;
    let (answer, count) = {
        let mut book = book.lock().expect("no panic");
        book.deliveries.push(delivery);
        book.now += 1;
        book.most_at_once = book.most_at_once.max(book.now);
        (book.answer.clone(), book.deliveries.len())
    };
    told.send_replace(count);
    let done = respond(stream.get_mut(), answer).await;
    book.lock().expect("no panic").now -= 1;
    done
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<Delivery> {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    ensure!(line.starts_with("POST /hook"), "{line}");
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").context("a length")?.parse()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8(body)?;
    let event = serde_json::from_str(&body)?;
    Ok(Delivery { headers, body, event, at: Instant::now() })
}

async fn respond(stream: &mut TcpStream, answer: Answer) -> Result<()> {
    let (status, more) = match answer {
        Answer::Status(status, more) => (status, more),
        Answer::Slowly(wait) => {
            // Who hung up meanwhile waits for nothing.
            let gone = tokio::time::timeout(wait, stream.read(&mut [0])).await;
            ensure!(gone.is_err(), "the sender is gone");
            (204, String::new())
        }
        Answer::Never => {
            // Until the other one hangs up.
            let _ = stream.read(&mut [0]).await;
            return Ok(());
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            return Ok(());
        }
        Answer::HangUp => return Ok(()),
    };
    let head =
        format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n{more}\r\n");
    Ok(stream.write_all(head.as_bytes()).await?)
}

/// What the reference implementation of Standard Webhooks says of each delivery.
pub async fn verify(secret: &str, deliveries: &[Delivery]) -> Result<Vec<String>> {
    let mut child = Command::new(installed("bots/bin/python")?)
        .arg(VERIFIER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = String::new();
    for Delivery { headers, body, .. } in deliveries {
        lines += &json!({ "secret": secret, "headers": headers, "body": body }).to_string();
        lines.push('\n');
    }
    let mut stdin = child.stdin.take().context("a pipe")?;
    stdin.write_all(lines.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "the verifier: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}
