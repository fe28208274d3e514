//! Web push against a push service on loopback, which reads what came as a browser would.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes128Gcm, KeyInit as _, Nonce};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::user::User;
use events::notification::{Channel, Outcome};
use events::{Event, Metadata, Personal, PushId, StreamName, UserEvent, UserId};
use hkdf::Hkdf;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::{PublicKey, SecretKey};
use serde_json::{Value, json};
use service::{NotificationSettings, Vapid};
use sha2::Sha256;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::notifications::{at_once, attempts, rows, start};
use crate::world::{SECRETS, World, eventually};

const AUTH: [u8; 16] = [7; 16];

/// What came to a browser, by its name.
type Came = Vec<(String, HeaderMap, Bytes)>;

/// A push service.
#[derive(Clone, Default)]
struct Service {
    came: Arc<Mutex<Came>>,
    /// What it answers the browser `one` with; 201 in the end.
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

async fn push(
    State(service): State<Service>,
    Path(browser): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    service.came.lock().unwrap().push((browser.clone(), headers, body));
    match browser.as_str() {
        "one" => service.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::CREATED),
        _ => StatusCode::GONE,
    }
}

impl Service {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/{browser}", post(push)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        origin
    }
}

/// As the edge would not take it, because it is on loopback.
async fn subscribe(world: &World, user: UserId, endpoint: String, key: &SecretKey) -> PushId {
    let push = PushId::of(user, &endpoint);
    let point = key.public_key().to_encoded_point(false);
    let personal = |text: String| Personal::new(user, text);
    let event = UserEvent::PushSubscribed {
        user,
        push,
        endpoint: personal(endpoint),
        p256dh: personal(URL_SAFE_NO_PAD.encode(point)),
        auth: personal(URL_SAFE_NO_PAD.encode(AUTH)),
    };
    let metadata = Metadata {
        schema_version: 1,
        actor: user,
        correlation_id: push.uuid(),
        causation_id: push.uuid(),
        key: push.uuid(),
        body_hash: String::new(),
        decided_on: None,
        token: None,
    };
    let metadata = serde_json::to_value(metadata).unwrap();
    let stream = StreamName::user(user);
    world.append_raw(stream.as_str(), event.event_type(), &event.to_data(), &metadata).await;
    push
}

fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; N] {
    let mut key = [0; N];
    Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut key).unwrap();
    key
}

/// Reads a message as the browser with this key does (RFC 8291, section 3.4).
fn read(key: &SecretKey, body: &[u8]) -> Value {
    let (salt, rest) = body.split_at(16);
    assert_eq!(rest[..5], [0, 0, 16, 0, 65]);
    let (sender, sealed) = rest[5..].split_at(65);
    let theirs = PublicKey::from_sec1_bytes(sender).unwrap();
    let shared = p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), theirs.as_affine());
    let own = key.public_key().to_encoded_point(false);
    let info = [b"WebPush: info\0", own.as_bytes(), sender].concat();
    let secret: [u8; 32] = expand(&AUTH, shared.raw_secret_bytes(), &info);
    let key: [u8; 16] = expand(salt, &secret, b"Content-Encoding: aes128gcm\0");
    let nonce: [u8; 12] = expand(salt, &secret, b"Content-Encoding: nonce\0");
    let open = Aes128Gcm::new(&key.into()).decrypt(Nonce::from_slice(&nonce), sealed).unwrap();
    let (last, text) = open.split_last().unwrap();
    assert_eq!(*last, 2, "the last record");
    serde_json::from_slice(text).unwrap()
}

/// Verifies who sent it, as push services do (RFC 8292).
fn verify(authorization: &str, origin: &str) {
    let (token, key) = authorization.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(key, Vapid::of(&SECRETS).public_key());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = VerifyingKey::from_sec1_bytes(&URL_SAFE_NO_PAD.decode(key).unwrap()).unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    key.verify(signed.as_bytes(), &signature).unwrap();
    let (_, claims) = signed.split_once('.').unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["aud"], origin);
    let left = claims["exp"].as_i64().unwrap() - service::clock::now().timestamp();
    assert!((1..=24 * 3600).contains(&left), "{claims}");
}

#[tokio::test]
async fn a_browser_can_read_what_is_pushed_again_until_taken_and_one_that_is_gone_is_forgotten() {
    let world = World::new().await;
    let service = Service::default();
    service.answers.lock().unwrap().push_back(StatusCode::SERVICE_UNAVAILABLE);
    let origin = service.serve().await;
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    let key = SecretKey::from_slice(&[9; 32]).unwrap();
    let one = subscribe(&world, bob, format!("{origin}/one"), &key).await;
    subscribe(&world, bob, format!("{origin}/other"), &key).await;
    let settings = NotificationSettings { push_private: true, ..at_once() };
    let _two = (start(&world, settings.clone()).await, start(&world, settings).await);
    world.ask(ada, bob).await;
    eventually("it is pushed", || async { rows(&world, "push", "done").await == 1 }).await;

    let reason = Some("the push service says 503".to_owned());
    let expected = [(1, Outcome::Failed, reason), (2, Outcome::Delivered, None)];
    assert_eq!(attempts(&world, Channel::Push).await, expected);
    let came = service.came.lock().unwrap().clone();
    let to = |name: &str| came.iter().filter(|(to, ..)| to == name).collect::<Vec<_>>();
    assert_eq!((to("one").len(), to("other").len()), (2, 1));
    let (_, headers, body) = to("one")[1];
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!((header("content-encoding"), header("ttl")), ("aes128gcm", "86400"));
    verify(header("authorization"), &origin);
    let text = read(&key, body);
    assert_eq!(text["text"], "ADA would like to be friends with you");
    assert_eq!(text["about"], json!({ "kind": "friend_request", "from": ada }));
    assert!(text["notification"].as_str().unwrap().parse::<Uuid>().is_ok());

    let known = world.log.load::<User>(&StreamName::user(bob)).await.unwrap().state;
    let left: Vec<_> = known.account().unwrap().subscriptions.keys().copied().collect();
    assert_eq!(left, [one], "the other was gone");
}

#[tokio::test]
async fn nothing_is_pushed_to_an_address_of_this_machine() {
    let world = World::new().await;
    let service = Service::default();
    let origin = service.serve().await;
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    let key = SecretKey::from_slice(&[9; 32]).unwrap();
    subscribe(&world, bob, format!("{origin}/one"), &key).await;
    let _projector = start(&world, at_once()).await;
    world.ask(ada, bob).await;
    eventually("it is given up", || async { rows(&world, "push", "dead").await == 1 }).await;
    let reason = Some("the push service is not on the public net".to_owned());
    assert_eq!(attempts(&world, Channel::Push).await, [(1, Outcome::Dead, reason)]);
    assert!(service.came.lock().unwrap().is_empty());
}
