//! The credentials of `GET /v1/ice-servers` against a real TURN server (coturn, RFC 8656).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::process::{Process, free_address};
use e2e::refusal::refused;
use e2e::talk::{PATIENCE, Person};
use e2e::up::{Up, folder};
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use reqwest::Method;
use serde_json::Value;
use sha1::Sha1;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

const SECRET: &str = "north-by-north-west";

/// Of every STUN message (RFC 8489, section 5).
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

const ALLOCATE: u16 = 0x0003;
const ALLOCATED: u16 = 0x0103;
const REFUSED: u16 = 0x0113;

const USERNAME: u16 = 0x0006;
const INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const RELAYED_ADDRESS: u16 = 0x0016;
const TRANSPORT: u16 = 0x0019;

/// A STUN message: its type, and its attributes.
#[derive(Debug)]
struct Message {
    kind: u16,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    fn allocate() -> Self {
        // UDP is protocol 17.
        Self { kind: ALLOCATE, attributes: vec![(TRANSPORT, vec![17, 0, 0, 0])] }
    }

    fn attribute(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(of, _)| *of == kind).map(|(_, value)| &value[..])
    }

    fn encode(&self, transaction: [u8; 12]) -> Vec<u8> {
        let mut body = vec![];
        for (kind, value) in &self.attributes {
            body.extend(kind.to_be_bytes());
            body.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = self.kind.to_be_bytes().to_vec();
        message.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
        message.extend(COOKIE);
        message.extend(transaction);
        message.extend(body);
        message
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let kind = u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
        let mut rest = bytes.get(20..)?;
        let mut attributes = vec![];
        while let Some((head, after)) = rest.split_at_checked(4) {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = after.get(..length)?.to_vec();
            attributes.push((u16::from_be_bytes([head[0], head[1]]), value));
            rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(Self { kind, attributes })
    }

    /// The last attribute proves who sends it: the length in the header counts it already.
    fn sign(self, transaction: [u8; 12], key: &[u8]) -> Result<Vec<u8>> {
        let Self { kind, mut attributes } = self;
        attributes.push((INTEGRITY, vec![0; 20]));
        let unsigned = Self { kind, attributes }.encode(transaction);
        let signed = &unsigned[..unsigned.len() - 24];
        let mut mac = Hmac::<Sha1>::new_from_slice(key)?;
        mac.update(signed);
        let mut message = unsigned[..unsigned.len() - 20].to_vec();
        message.extend(mac.finalize().into_bytes());
        Ok(message)
    }
}

/// A client of the relay.
struct Client {
    socket: UdpSocket,
    transactions: u8,
}

impl Client {
    async fn of(relay: &str) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(relay).await?;
        Ok(Self { socket, transactions: 0 })
    }

    fn transaction(&mut self) -> [u8; 12] {
        self.transactions += 1;
        [self.transactions; 12]
    }

    /// Asks until there is an answer: the relay may be starting.
    async fn ask(&self, message: &[u8]) -> Result<Message> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 1500];
        loop {
            // Where nobody listens, the answer is an error of the socket.
            let sent = self.socket.send(message).await;
            let answer = timeout(Duration::from_millis(300), self.socket.recv(&mut buffer)).await;
            if let (Ok(_), Ok(Ok(length))) = (sent, answer)
                && buffer[4..20] == message[4..20]
            {
                return Message::decode(&buffer[..length]).context("an answer that is no STUN");
            }
            ensure!(Instant::now() < deadline, "the relay does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks for an allocation with long-term credentials (RFC 8489, section 9.2).
    async fn allocate(&mut self, username: &str, password: &str) -> Result<Message> {
        let transaction = self.transaction();
        let challenge = self.ask(&Message::allocate().encode(transaction)).await?;
        ensure!(code(&challenge) == Some(401), "it did not ask who it is: {challenge:?}");
        let realm = challenge.attribute(REALM).context("a realm")?.to_vec();
        let nonce = challenge.attribute(NONCE).context("a nonce")?.to_vec();
        let place = String::from_utf8(realm.clone())?;
        let key = Md5::digest(format!("{username}:{place}:{password}"));
        let mut request = Message::allocate();
        request.attributes.extend([
            (USERNAME, username.as_bytes().to_vec()),
            (REALM, realm),
            (NONCE, nonce),
        ]);
        let signed = request.sign(self.transaction(), &key)?;
        self.ask(&signed).await
    }
}

/// Why it was refused.
fn code(message: &Message) -> Option<u16> {
    let [_, _, class, number, ..] = message.attribute(ERROR_CODE)? else { return None };
    (message.kind == REFUSED).then(|| u16::from(*class) * 100 + u16::from(*number))
}

fn password(username: &str) -> Result<String> {
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes())?;
    mac.update(username.as_bytes());
    Ok(BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn coturn_relays_for_who_has_good_credentials_and_not_for_expired_ones() -> Result<()> {
    let relay = free_address()?;
    let port = relay.rsplit_once(':').context("a port")?.1;
    let logs = folder()?;
    let pid = logs.path().join("turn.pid").to_string_lossy().into_owned();
    let secret = format!("--static-auth-secret={SECRET}");
    let arguments = [
        "-n",
        "--listening-ip=127.0.0.1",
        "--relay-ip=127.0.0.1",
        "--listening-port",
        port,
        "--use-auth-secret",
        &secret,
        "--realm=roundtable.example",
        "--no-tls",
        "--no-dtls",
        "--no-cli",
        "--log-file=stdout",
        "--pidfile",
        &pid,
    ];
    let mut coturn = Process::start("coturn", "turnserver", &arguments, &[], logs.path())?;
    let url = format!("turn:{relay}?transport=udp");
    let stun = format!("stun:{relay}");
    let up = Up::with(&[
        ("ROUNDTABLE_STUN_URLS", stun.as_str()),
        ("ROUNDTABLE_TURN_URLS", url.as_str()),
        ("ROUNDTABLE_TURN_SECRET", SECRET),
    ])
    .await?;
    let ada = Person::new(&up.url, "Ada").await?;
    let servers: Value = ada.session.read("/v1/ice-servers", None).await?;
    let turn = &servers["ice_servers"][1];
    ensure!(servers["ice_servers"][0]["urls"][0] == stun, "{servers}");
    ensure!(turn["urls"][0] == url, "{servers}");
    let username = turn["username"].as_str().context("a name")?;
    let credential = turn["credential"].as_str().context("a credential")?;
    ensure!(username.ends_with(&format!(":{}", ada.user())), "{username}");

    let mut client = Client::of(&relay).await?;
    let allocated = client.allocate(username, credential).await;
    let allocated = allocated.with_context(|| coturn.printed())?;
    ensure!(allocated.kind == ALLOCATED, "{allocated:?}\n{}", coturn.printed());
    ensure!(allocated.attribute(RELAYED_ADDRESS).is_some(), "{allocated:?}");

    // Rightly made, and too old; and not rightly made.
    let expired = format!("{}:{}", e2e::now().timestamp() - 60, ada.user());
    let mut client = Client::of(&relay).await?;
    let refusal = client.allocate(&expired, &password(&expired)?).await?;
    ensure!(code(&refusal) == Some(401), "{refusal:?}");
    let mut client = Client::of(&relay).await?;
    let refusal = client.allocate(username, &password("somebody else")?).await?;
    ensure!(code(&refusal) == Some(401), "{refusal:?}");

    // Nobody gets credentials without saying who they are.
    let nobody = reqwest::Client::new().request(Method::GET, format!("{}/v1/ice-servers", up.url));
    refused(nobody, 401, "unauthenticated").await?;
    coturn.kill().await;
    up.end().await
}
