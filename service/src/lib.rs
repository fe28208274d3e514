//! What every process shares: configuration, secrets, problems, extractors, who somebody is,
//! health, telemetry, and how a service listens and ends.

pub mod auth;
pub mod clock;
pub mod config;
pub mod extract;
pub mod files;
pub mod health;
pub mod http;
pub mod nats;
pub mod openapi;
pub mod problem;
pub mod redis;
pub mod secrets;
pub mod shutdown;
pub mod telemetry;

pub use auth::{Authenticator, Identity, Tokens};
pub use config::{Config, ConfigError};
pub use extract::{IdempotencyKey, Json, Path, Query};
pub use files::FileSettings;
pub use health::Health;
pub use http::serve;
pub use problem::Problem;
pub use redis::Redis;
pub use secrets::{Secrets, SecretsError};

/// The allocator of every service. It gives back what a password hash took, which glibc keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
