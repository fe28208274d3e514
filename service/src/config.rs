//! What a service is told at its start, read once.

use std::fmt;
use std::path::Path;

use http::HeaderValue;
use thiserror::Error;

use crate::limits::{Policies, Proxies};
use crate::{
    CallSettings, FileSettings, NotificationSettings, Secrets, SecretsError, WebhookSettings,
};

const READER_URL: &str = "ROUNDTABLE_POSTGRES_READER_URL";
const RETENTION: &str = "ROUNDTABLE_MESSAGE_RETENTION_DAYS";
const READER_URL_MEANING: &str = "a postgres:// URL of the role roundtable_reader";
const LIMITS: &str = "`off`, or names and rates such as sign-up=3/min,message=off (s, min, h)";

/// What a service is told at its start. Every field is a variable of the environment.
#[derive(Clone)]
pub struct Config {
    /// `ROUNDTABLE_POSTGRES_URL`: as the role that owns the read models and the vault.
    pub postgres_url: String,
    /// `ROUNDTABLE_POSTGRES_READER_URL`: as the role `roundtable_reader`, which row-level security
    /// binds. Only query-api has it; see [`Config::reader_url`].
    pub postgres_reader_url: Option<String>,
    /// `ROUNDTABLE_REDIS_URL`.
    pub redis_url: String,
    /// `ROUNDTABLE_NATS_URL`.
    pub nats_url: String,
    /// `ROUNDTABLE_EVENTSTORE_URL`: `esdb://host:2113?tls=false`.
    pub eventstore_url: String,
    /// `ROUNDTABLE_LISTEN`: host and port of this service.
    pub listen: String,
    /// `ROUNDTABLE_SECRETS`: the keys in that folder.
    pub secrets: Secrets,
    /// `ROUNDTABLE_NODE`: how answers name this process; the host's name by default.
    pub node: String,
    /// `ROUNDTABLE_ALLOWED_ORIGINS`: origins of web pages elsewhere that may use this service with
    /// cookies, separated by commas.
    pub allowed_origins: Vec<HeaderValue>,
    /// `ROUNDTABLE_SECURE_COOKIES`: cookies go over https only. By default true, unless
    /// `ROUNDTABLE_PUBLIC_URL` says that people come over plain http.
    pub secure_cookies: bool,
    /// `ROUNDTABLE_MESSAGE_RETENTION_DAYS`: messages older than this go from the read models, by
    /// whole months; they stay for ever by default.
    pub message_retention: Option<chrono::TimeDelta>,
    /// `ROUNDTABLE_LIMITS`: the rate limits that differ from the usual, strict ones, such as
    /// `sign-up=100/min,message=off`; or `off`.
    pub limits: Policies,
    /// `ROUNDTABLE_TRUSTED_PROXIES`: addresses and networks of the proxies in front, whose word
    /// about a client's address is believed. Nobody's by default.
    pub trusted_proxies: Proxies,
    /// `ROUNDTABLE_LOG`: what is logged, as `tracing` filters are written; what `RUST_LOG` says by
    /// default, or `info`.
    pub log: String,
    /// `ROUNDTABLE_FILES_...`: where files are kept, and how many.
    pub files: FileSettings,
    /// `ROUNDTABLE_SMTP_URL` and the like: how people are reached who do not look.
    pub notifications: NotificationSettings,
    /// `ROUNDTABLE_CALL_RING` and the like: how calls ring, and how their devices find each other.
    pub calls: CallSettings,
    /// `ROUNDTABLE_WEBHOOK_PRIVATE` and the like: how webhooks are delivered.
    pub webhooks: WebhookSettings,
}

/// Shows no URL, because URLs hold passwords.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("node", &self.node)
            .field("allowed_origins", &self.allowed_origins)
            .field("secure_cookies", &self.secure_cookies)
            .finish_non_exhaustive()
    }
}

/// Why a service does not start.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It was not said.
    #[error("{name} is not set: {meaning}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it should say.
        meaning: &'static str,
    },
    /// It was said wrongly.
    #[error("{name} is wrong: it must be {expected}")]
    Wrong {
        /// The variable.
        name: &'static str,
        /// What it should say.
        expected: &'static str,
    },
    /// The keys are not there.
    #[error("ROUNDTABLE_SECRETS does not name a folder with the secret keys")]
    Secrets(#[from] SecretsError),
}

impl Config {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// When something is missing or wrong; the message names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is where configuration is read")]
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the variables from anywhere. An empty one counts as not set.
    ///
    /// # Errors
    /// When something is missing or wrong; the message names it.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::read_with(variable, Secrets::load)
    }

    /// The same, with the keys from elsewhere.
    pub(crate) fn read_with(
        variable: impl Fn(&str) -> Option<String>,
        load: impl FnOnce(&Path) -> Result<Secrets, SecretsError>,
    ) -> Result<Self, ConfigError> {
        let optional = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let required = |name, meaning| optional(name).ok_or(ConfigError::Missing { name, meaning });
        let url = |name, schemes: &[&str], meaning| {
            let value = required(name, meaning)?;
            match schemes.iter().any(|scheme| value.starts_with(scheme)) {
                true => Ok(value),
                false => Err(ConfigError::Wrong { name, expected: meaning }),
            }
        };
        let listen = required("ROUNDTABLE_LISTEN", "host:port that this service listens on")?;
        if listen.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(ConfigError::Wrong { name: "ROUNDTABLE_LISTEN", expected: "host:port" });
        }
        let postgres = &["postgres://", "postgresql://"];
        let stores = &["esdb://", "esdb+discover://", "kurrentdb://", "kurrentdb+discover://"];
        let secrets = required("ROUNDTABLE_SECRETS", "the folder of the secret keys")?;
        Ok(Self {
            postgres_url: url(
                "ROUNDTABLE_POSTGRES_URL",
                postgres,
                "a postgres:// URL of the role that owns the database",
            )?,
            postgres_reader_url: match optional(READER_URL) {
                Some(_) => Some(url(READER_URL, postgres, READER_URL_MEANING)?),
                None => None,
            },
            redis_url: url("ROUNDTABLE_REDIS_URL", &["redis://", "rediss://"], "a redis:// URL")?,
            nats_url: url("ROUNDTABLE_NATS_URL", &["nats://", "tls://"], "a nats:// URL")?,
            eventstore_url: url("ROUNDTABLE_EVENTSTORE_URL", stores, "an esdb:// URL")?,
            listen,
            secrets: load(Path::new(&secrets))?,
            node: optional("ROUNDTABLE_NODE").map_or_else(|| Ok(host_name()), node)?,
            allowed_origins: origins(optional("ROUNDTABLE_ALLOWED_ORIGINS").unwrap_or_default())?,
            secure_cookies: secure_cookies(
                optional("ROUNDTABLE_SECURE_COOKIES"),
                optional("ROUNDTABLE_PUBLIC_URL"),
            )?,
            message_retention: optional(RETENTION).map(|days| retention(&days)).transpose()?,
            limits: parsed(optional("ROUNDTABLE_LIMITS"), "ROUNDTABLE_LIMITS", LIMITS)?,
            trusted_proxies: parsed(
                optional("ROUNDTABLE_TRUSTED_PROXIES"),
                "ROUNDTABLE_TRUSTED_PROXIES",
                "addresses and networks, such as 127.0.0.1,10.0.0.0/8",
            )?,
            log: optional("ROUNDTABLE_LOG")
                .or_else(|| optional("RUST_LOG"))
                .unwrap_or_else(|| "info".to_owned()),
            files: FileSettings::read(optional)?,
            notifications: NotificationSettings::read(optional)?,
            calls: CallSettings::read(optional)?,
            webhooks: WebhookSettings::read(optional)?,
        })
    }

    /// The URL of the role that row-level security binds, for who reads as it.
    ///
    /// # Errors
    /// When it was not said.
    pub fn reader_url(&self) -> Result<&str, ConfigError> {
        let missing = ConfigError::Missing { name: READER_URL, meaning: READER_URL_MEANING };
        self.postgres_reader_url.as_deref().ok_or(missing)
    }
}

/// The name of this machine, which is the container's in a container.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    node(name.trim().to_owned()).unwrap_or_else(|_| "node".to_owned())
}

fn node(name: String) -> Result<String, ConfigError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.is_empty() && name.bytes().all(good) {
        return Ok(name);
    }
    let expected = "letters, digits, dots, hyphens and underscores";
    Err(ConfigError::Wrong { name: "ROUNDTABLE_NODE", expected })
}

fn retention(days: &str) -> Result<chrono::TimeDelta, ConfigError> {
    let days = days.trim().parse::<u32>().ok().filter(|days| (1..=36_500).contains(days));
    let wrong = ConfigError::Wrong { name: RETENTION, expected: "a number of days" };
    days.map(|days| chrono::TimeDelta::days(days.into())).ok_or(wrong)
}

fn origins(text: String) -> Result<Vec<HeaderValue>, ConfigError> {
    let origin = |text: &str| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let good = host.is_some_and(|host| !host.is_empty() && !host.contains('/'));
        good.then(|| HeaderValue::from_str(text).ok()).flatten().ok_or(ConfigError::Wrong {
            name: "ROUNDTABLE_ALLOWED_ORIGINS",
            expected: "origins like https://chat.example, separated by commas",
        })
    };
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(origin).collect()
}

/// What a variable says, or the default of what it is about.
fn parsed<T: std::str::FromStr + Default>(
    said: Option<String>,
    name: &'static str,
    expected: &'static str,
) -> Result<T, ConfigError> {
    let read = |text: String| text.parse().map_err(|_| ConfigError::Wrong { name, expected });
    said.map_or_else(|| Ok(T::default()), read)
}

fn secure_cookies(said: Option<String>, public_url: Option<String>) -> Result<bool, ConfigError> {
    match said.as_deref() {
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(_) => {
            Err(ConfigError::Wrong { name: "ROUNDTABLE_SECURE_COOKIES", expected: "true or false" })
        }
        // Who says nothing is not made less safe by it.
        None => Ok(!public_url.is_some_and(|url| url.starts_with("http://"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn complete(secrets: &std::path::Path) -> HashMap<&'static str, String> {
        Secrets::generate(secrets).unwrap();
        HashMap::from([
            ("ROUNDTABLE_POSTGRES_URL", "postgres://a:secret-word@b/c".to_owned()),
            ("ROUNDTABLE_POSTGRES_READER_URL", "postgres://d@b/c".to_owned()),
            ("ROUNDTABLE_REDIS_URL", "redis://b".to_owned()),
            ("ROUNDTABLE_NATS_URL", "nats://b".to_owned()),
            ("ROUNDTABLE_EVENTSTORE_URL", "esdb://b:2113?tls=false".to_owned()),
            ("ROUNDTABLE_LISTEN", "127.0.0.1:0".to_owned()),
            ("ROUNDTABLE_SECRETS", secrets.display().to_string()),
        ])
    }

    fn read(variables: &HashMap<&'static str, String>) -> Result<Config, ConfigError> {
        Config::read(|name| variables.get(name).cloned())
    }

    #[test]
    fn each_missing_variable_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let complete = complete(dir.path());
        for name in complete.keys() {
            let mut less = complete.clone();
            less.remove(name);
            let refused = match read(&less) {
                Ok(config) => config.reader_url().unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(refused.starts_with(&format!("{name} is not set")), "{refused}");
            less.insert(name, " ".to_owned());
            let empty = read(&less).map(|config| config.reader_url().is_err());
            assert!(empty.is_err_and(|error| error.to_string() == refused) || *name == READER_URL);
        }
    }

    #[test]
    fn each_wrong_variable_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let complete = complete(dir.path());
        for (name, wrong) in [
            ("ROUNDTABLE_POSTGRES_URL", "mysql://b"),
            ("ROUNDTABLE_POSTGRES_READER_URL", "b"),
            ("ROUNDTABLE_REDIS_URL", "b:6379"),
            ("ROUNDTABLE_NATS_URL", "http://b"),
            ("ROUNDTABLE_EVENTSTORE_URL", "b"),
            ("ROUNDTABLE_LISTEN", "8080"),
            ("ROUNDTABLE_LISTEN", "localhost:http"),
            ("ROUNDTABLE_SECRETS", "/nowhere"),
            ("ROUNDTABLE_NODE", "a b"),
            ("ROUNDTABLE_ALLOWED_ORIGINS", "chat.example"),
            ("ROUNDTABLE_ALLOWED_ORIGINS", "https://chat.example/path"),
            ("ROUNDTABLE_SECURE_COOKIES", "perhaps"),
            ("ROUNDTABLE_LIMITS", "none"),
            ("ROUNDTABLE_LIMITS", "sign-up=3"),
            ("ROUNDTABLE_TRUSTED_PROXIES", "proxy.example"),
        ] {
            let mut variables = complete.clone();
            variables.insert(name, wrong.to_owned());
            let refused = read(&variables).unwrap_err().to_string();
            assert!(refused.starts_with(name), "{name}={wrong}: {refused}");
        }
    }

    #[test]
    fn what_is_not_said_is_the_safe_choice() {
        let dir = tempfile::tempdir().unwrap();
        let mut variables = complete(dir.path());
        let config = read(&variables).unwrap();
        assert!(config.secure_cookies && config.allowed_origins.is_empty());
        assert!(!config.node.is_empty());
        variables.insert("ROUNDTABLE_PUBLIC_URL", "http://localhost:8080".to_owned());
        assert!(!read(&variables).unwrap().secure_cookies);
        variables.insert("ROUNDTABLE_SECURE_COOKIES", "true".to_owned());
        assert!(read(&variables).unwrap().secure_cookies);
    }

    #[test]
    fn debug_shows_no_password() {
        let dir = tempfile::tempdir().unwrap();
        let config = read(&complete(dir.path())).unwrap();
        assert!(!format!("{config:?}").contains("secret-word"));
    }
}
