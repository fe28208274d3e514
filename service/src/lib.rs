//! What every process shares: configuration, secrets, problems, extractors, who somebody is,
//! health, telemetry, and how a service listens and ends.

pub mod auth;
pub mod calls;
pub mod check;
pub mod clock;
pub mod config;
pub mod connections;
pub mod denials;
mod documents;
pub mod edge;
pub mod extract;
pub mod files;
pub mod fold;
pub mod health;
pub mod http;
pub mod invite_code;
pub mod limits;
pub mod nats;
pub mod notifications;
pub mod openapi;
pub mod problem;
pub mod redis;
pub mod secrets;
pub mod sfu_registry;
pub mod shutdown;
pub mod telemetry;
pub mod tickets;
pub mod tls;
pub mod vapid;
pub mod words;

pub use auth::{Authenticator, Identity, Tokens};
pub use calls::{CallSettings, TurnSettings};
pub use config::{Config, ConfigError};
pub use connections::Connections;
pub use denials::Denials;
pub use edge::Edge;
pub use extract::{IdempotencyKey, Json, Path, Query};
pub use files::FileSettings;
pub use fold::fold;
pub use health::Health;
pub use http::serve;
pub use invite_code::InviteCode;
pub use limits::RateLimits;
pub use notifications::{MailSettings, NotificationSettings};
pub use problem::Problem;
pub use redis::Redis;
pub use secrets::{Secrets, SecretsError};
pub use sfu_registry::SfuRegistry;
pub use tickets::Tickets;
pub use vapid::Vapid;

/// The allocator of every service. It gives back what a password hash took, which glibc keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
