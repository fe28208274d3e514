//! The whole service, with a log: who may read at all.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use domain::login::{Command, Login};
use event_log::{Context, EventLog};
use events::StreamName;
use events::login::CloseReason;
use serde_json::Value;
use service::{Config, Identity, Secrets, Tokens, clock};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;
use uuid::Uuid;

use super::{Stage, id};
use crate::App;

const ROUTES: &[&str] = &[
    "/v1/users/me",
    "/v1/users/018f2f4e-0000-7000-8000-000000000001",
    "/v1/users?handle=ada",
    "/v1/users?q=ada",
    "/v1/users/recommended",
    "/v1/blocks",
    "/v1/friends",
    "/v1/friend-requests?direction=incoming",
    "/v1/conversations",
    "/v1/conversations/018f2f4e-0000-7000-8000-000000000001",
    "/v1/conversations/018f2f4e-0000-7000-8000-000000000001/messages",
    "/v1/feed",
    "/v1/conversations/018f2f4e-0000-7000-8000-000000000001/invites",
    "/v1/conversations/018f2f4e-0000-7000-8000-000000000001/bans",
    "/v1/invites/code",
    "/v1/reports",
    "/v1/reports/018f2f4e-0000-7000-8000-000000000001",
    "/v1/users/me/standing",
    "/v1/suspensions",
    "/v1/study-sessions?which=mine",
    "/v1/study-sessions/018f2f4e-0000-7000-8000-000000000001",
    "/v1/study-sessions/018f2f4e-0000-7000-8000-000000000001/whiteboard",
    "/v1/files",
    "/v1/files/018f2f4e-0000-7000-8000-000000000001",
    "/v1/files/018f2f4e-0000-7000-8000-000000000001/content",
    "/v1/files/018f2f4e-0000-7000-8000-000000000001/thumbnails/64",
    "/v1/calls?outcome=missed",
    "/v1/calls/018f2f4e-0000-7000-8000-000000000001",
    "/v1/conversations/018f2f4e-0000-7000-8000-000000000001/call",
    "/v1/ice-servers",
];

const SVG: http::HeaderValue = http::HeaderValue::from_static("image/svg+xml");

struct Service {
    log: EventLog,
    tokens: Tokens,
    router: Router,
    _stop: DropGuard,
    _folder: TempDir,
    _stage: Stage,
}

impl Service {
    async fn start() -> Self {
        let stage = Stage::new().await;
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let eventstore_url = format!("esdb://{}?tls=false", listener.local_addr().unwrap());
        let store = event_store::Config::new(folder.path().join("log"));
        tokio::spawn(event_store::serve(store, listener, stop.clone()));

        Secrets::generate(folder.path()).unwrap();
        let config = Config::read(|name| {
            Some(match name {
                "ROUNDTABLE_POSTGRES_URL" => stage.owner_url.clone(),
                "ROUNDTABLE_POSTGRES_READER_URL" => stage.reader_url.clone(),
                "ROUNDTABLE_REDIS_URL" => stage.redis_url.clone(),
                "ROUNDTABLE_NATS_URL" => "nats://127.0.0.1".to_owned(),
                "ROUNDTABLE_EVENTSTORE_URL" => eventstore_url.clone(),
                "ROUNDTABLE_LISTEN" => "127.0.0.1:0".to_owned(),
                "ROUNDTABLE_SECRETS" => folder.path().display().to_string(),
                "ROUNDTABLE_FILES_URL" => folder.path().join("files").display().to_string(),
                _ => return None,
            })
        })
        .unwrap();
        let log = EventLog::connect(event_log::Config {
            eventstore_url,
            postgres: stage.owner.clone(),
            secrets: config.secrets.log.clone(),
        })
        .await
        .unwrap();
        let app = App::start(&config, log.clone(), stop.clone()).await.unwrap();
        Self {
            log,
            tokens: Tokens::new(&config.secrets.signing),
            router: service::http::app(app.router(), &config, app.health()),
            _stop: stop.drop_guard(),
            _folder: folder,
            _stage: stage,
        }
    }

    async fn log_in(&self) -> Identity {
        let who = Identity::new(id().into(), id().into());
        let Identity { user, login, .. } = who;
        let expires = clock::now() + std::time::Duration::from_secs(3600);
        let refresh_digest = "00".to_owned();
        self.command(who, &Command::Open { login, user, refresh_digest, expires, device: None })
            .await;
        who
    }

    async fn command(&self, who: Identity, command: &Command) {
        let context = Context {
            actor: who.user,
            key: id(),
            body_hash: String::new(),
            correlation: Uuid::nil(),
            causation: Uuid::nil(),
            now: clock::now(),
            decided_on: None,
            token: None,
        };
        let stream = StreamName::login(who.login);
        self.log.transact::<Login>(&stream, command, &context).await.unwrap();
    }

    async fn ask(&self, path: &str, header: Option<(&str, String)>) -> (u16, Value) {
        let mut request = Request::get(path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert!(response.headers().contains_key("roundtable-node"));
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn refused(&self, path: &str, header: Option<(&str, String)>) -> String {
        let (status, problem) = self.ask(path, header).await;
        assert_eq!(status, 401, "{path}: {problem}");
        problem["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn only_who_is_logged_in_may_read() {
    let service = Service::start().await;
    let ada = service.log_in().await;
    let bearer = |token: &str| Some(("authorization", format!("Bearer {token}")));
    let good = service.tokens.issue(ada, clock::now());
    let old = service.tokens.issue(ada, clock::now() - service::auth::LIFETIME);
    let forged = Tokens::new(&[9; 32]).issue(ada, clock::now());
    // Rightly signed, for a log-in that is somebody else's.
    let mixed = Identity::new(id().into(), ada.login);
    let mixed = service.tokens.issue(mixed, clock::now());
    for path in ROUTES {
        assert_eq!(service.refused(path, None).await, "unauthenticated");
        assert_eq!(service.refused(path, bearer(&old)).await, "token-expired");
        assert_eq!(service.refused(path, bearer(&forged)).await, "token-invalid");
        assert_eq!(service.refused(path, bearer(&mixed)).await, "login-ended");
        let basic = Some(("authorization", "Basic YTpi".to_owned()));
        assert_eq!(service.refused(path, basic).await, "unauthenticated");
        assert_ne!(service.ask(path, bearer(&good)).await.0, 401, "{path}");
    }
    let cookie = Some(("cookie", format!("roundtable_access={good}")));
    assert_eq!(service.ask("/v1/friends", cookie).await.0, 200);
}

#[tokio::test]
async fn the_pictures_that_everybody_may_use_are_shown_to_anybody_and_cached() {
    let service = Service::start().await;
    let (status, presets) = service.ask("/v1/avatars/presets", None).await;
    assert_eq!(status, 200);
    let presets = presets["items"].as_array().unwrap();
    assert_eq!(presets.len(), 8);
    for preset in presets {
        let url = preset["url"].as_str().unwrap();
        let ask = async |tag: Option<&str>| {
            let mut request = Request::get(url);
            if let Some(tag) = tag {
                request = request.header("if-none-match", tag);
            }
            let request = request.body(Body::empty()).unwrap();
            service.router.clone().oneshot(request).await.unwrap()
        };
        let fresh = ask(None).await;
        assert_eq!((fresh.status().as_u16(), &fresh.headers()["content-type"]), (200, &SVG));
        assert_eq!(fresh.headers()["cache-control"], "public, max-age=86400");
        let tag = fresh.headers()["etag"].to_str().unwrap().to_owned();
        for known in [&*tag, &format!("\"x\", W/{tag}"), "*"] {
            let again = ask(Some(known)).await;
            assert_eq!(again.status(), 304, "{known}");
            assert_eq!(again.headers()["etag"], &*tag);
        }
        assert_eq!(ask(Some("\"x\"")).await.status(), 200);
    }
    for wrong in ["/v1/avatars/presets/dragon.svg", "/v1/avatars/presets/9.svg"] {
        assert_eq!(service.ask(wrong, None).await.0, 404, "{wrong}");
    }
}

#[tokio::test]
async fn a_log_out_takes_effect_at_once() {
    let service = Service::start().await;
    let ada = service.log_in().await;
    let token = format!("Bearer {}", service.tokens.issue(ada, clock::now()));
    let header = || Some(("authorization", token.clone()));
    assert_eq!(service.ask("/v1/friends", header()).await.0, 200);
    service.command(ada, &Command::Close { user: ada.user, reason: CloseReason::LoggedOut }).await;
    assert_eq!(service.refused("/v1/friends", header()).await, "login-ended");
}

#[tokio::test]
async fn a_service_with_all_its_servers_is_ready() {
    let service = Service::start().await;
    let (status, ready) = service.ask("/readyz", None).await;
    assert_eq!(status, 200, "{ready}");
    for dependency in ["event_store", "postgres_reader", "redis"] {
        assert_eq!(ready["dependencies"][dependency]["status"], "up", "{ready}");
    }
    assert_eq!(service.ask("/v1/nothing", None).await.0, 404);
}
