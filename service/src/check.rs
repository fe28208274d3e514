//! `--check-config`: what a process would be told at its start, where each setting comes from, and
//! whether it works, without starting anything.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use event_log::EventLog;
use sqlx::postgres::PgPoolOptions;

use crate::numbers::{NUMBERS, Number};
use crate::{Config, ConfigError, Secrets};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// A setting: its variable, what it is when nothing is said, and something that is well formed, to
/// look past a fault for the next one.
struct Setting {
    name: &'static str,
    default: &'static str,
    stand_in: &'static str,
}

const fn setting(name: &'static str, default: &'static str, stand_in: &'static str) -> Setting {
    Setting { name, default, stand_in }
}

const POSTGRES: &str = "ROUNDTABLE_POSTGRES_URL";
const READER: &str = "ROUNDTABLE_POSTGRES_READER_URL";
const REDIS: &str = "ROUNDTABLE_REDIS_URL";
const NATS: &str = "ROUNDTABLE_NATS_URL";
const STORE: &str = "ROUNDTABLE_EVENTSTORE_URL";
const SECRETS: &str = "ROUNDTABLE_SECRETS";

/// No server, for where one is needed and none is known.
const NOBODY: &str = "postgres://127.0.0.1:1";

const SETTINGS: [Setting; 32] = [
    setting(POSTGRES, "", NOBODY),
    setting(READER, "", NOBODY),
    setting(REDIS, "", "redis://127.0.0.1:1"),
    setting(NATS, "", "nats://127.0.0.1:1"),
    setting(STORE, "", "esdb://127.0.0.1:1?tls=false"),
    setting("ROUNDTABLE_LISTEN", "", "127.0.0.1:0"),
    setting(SECRETS, "", "."),
    setting("ROUNDTABLE_NODE", "the name of this machine", "node"),
    setting("ROUNDTABLE_PUBLIC_URL", "", "https://localhost"),
    setting("ROUNDTABLE_ALLOWED_ORIGINS", "none", ""),
    setting("ROUNDTABLE_SECURE_COOKIES", "true, unless the public URL is http://", "true"),
    setting("ROUNDTABLE_LIMITS", "the strict ones", "off"),
    setting("ROUNDTABLE_TRUSTED_PROXIES", "none", ""),
    setting("ROUNDTABLE_MESSAGE_RETENTION_DAYS", "for ever", "36500"),
    setting("ROUNDTABLE_FILES_URL", ".roundtable/files", ".roundtable/files"),
    setting("ROUNDTABLE_FILES_LARGEST", "26214400", "26214400"),
    setting("ROUNDTABLE_FILES_QUOTA", "1073741824", "1073741824"),
    setting("ROUNDTABLE_SMTP_URL", "no e-mail", "smtp://127.0.0.1"),
    setting("ROUNDTABLE_MAIL_FROM", "no e-mail", "nobody@localhost"),
    setting("ROUNDTABLE_NOTIFY_AFTER", "30", "30"),
    setting("ROUNDTABLE_PUSH_PRIVATE", "false", "false"),
    setting("ROUNDTABLE_WEBHOOK_PRIVATE", "false", "false"),
    setting("ROUNDTABLE_WEBHOOK_RETRY_MS", "5000", "5000"),
    setting("ROUNDTABLE_WEBHOOK_GIVE_UP_SECONDS", "259200", "259200"),
    setting("ROUNDTABLE_CALL_RING", "45", "45"),
    setting("ROUNDTABLE_CALL_ALONE", "300", "300"),
    setting("ROUNDTABLE_CALL_MESH", "4", "4"),
    setting("ROUNDTABLE_STUN_URLS", "none", ""),
    setting("ROUNDTABLE_TURN_URLS", "no relay", "turn:127.0.0.1"),
    setting("ROUNDTABLE_TURN_SECRET", "no relay", "0123456789abcdef"),
    setting("ROUNDTABLE_TURN_LIFETIME", "3600", "3600"),
    setting("ROUNDTABLE_LOG", "info", "info"),
];

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// A service that needs all servers, but does not read as the readers' role.
    Service,
    /// One that reads as it too.
    Reader,
    /// The stack in one process, which starts the servers that are not given.
    Stack,
}

/// A setting that only one process has.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// The variable.
    pub name: &'static str,
    /// What it is when nothing is said.
    pub default: &'static str,
    /// Whether a value is well formed; the error names the variable.
    pub check: fn(&str) -> Result<(), String>,
}

/// The value of a setting, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The value.
    pub value: String,
    /// Where it comes from, for a person to read.
    pub source: &'static str,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<String>,
    faults: BTreeMap<&'static str, String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        match self.faults.len() {
            0 => writeln!(f, "\nno faults"),
            _ => {
                writeln!(f, "\nfaults:")?;
                self.faults.values().try_for_each(|fault| writeln!(f, "  {fault}"))
            }
        }
    }
}

impl Report {
    fn line(&mut self, name: &str, said: Option<Said>, default: String) {
        let (value, source) = match said {
            Some(Said { source, .. }) if name.ends_with("_SECRET") => ("***".to_owned(), source),
            Some(Said { value, source }) => (masked(&value), source),
            None => (default, "default"),
        };
        let mark = if self.faults.contains_key(name) { "FAULT" } else { "ok" };
        self.lines.push(format!("{mark:5}  {name:34} {value}  [{source}]"));
    }

    /// Whether a process would start with these settings, and work.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// Prints it; the status says whether it is good.
    pub fn print(&self) -> ExitCode {
        print!("{self}");
        if self.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Checks, prints and returns the status if the process was started with `--check-config`.
pub async fn asked(process: Process, own: &[Own]) -> Option<ExitCode> {
    std::env::args().skip(1).any(|argument| argument == "--check-config").then_some(())?;
    #[expect(clippy::disallowed_methods, reason = "this is what is checked")]
    let environment = |name: &str| std::env::var(name).ok();
    let said = |name: &str| Some(Said { value: environment(name)?, source: "environment" });
    Some(check(process, own, said).await.print())
}

/// Checks the settings.
pub async fn check(process: Process, own: &[Own], said: impl Fn(&str) -> Option<Said>) -> Report {
    crate::tls::prepare();
    let said = |name: &str| said(name).filter(|said| !said.value.trim().is_empty());
    let mut report = Report::default();
    let config = read(process, &said, &mut report.faults);
    for number in &NUMBERS {
        let value = said(number.name).map(|said| said.value);
        if let Err(fault) = number.read(value.as_deref()) {
            report.faults.insert(number.name, fault.to_string());
        }
    }
    let faults = &report.faults;
    let given = |name: &str| said(name).is_some() && !faults.contains_key(name);
    let checks = futures::join!(
        bounded(POSTGRES, given(POSTGRES), postgres(&config.postgres_url, false)),
        bounded(READER, given(READER), async {
            postgres(config.postgres_reader_url.as_deref().unwrap_or(NOBODY), true).await
        }),
        bounded(REDIS, given(REDIS), redis(&config.redis_url)),
        bounded(NATS, given(NATS), nats(&config.nats_url)),
        bounded(STORE, given(STORE), store(&config)),
    );
    let answers = [checks.0, checks.1, checks.2, checks.3, checks.4];
    for (name, answer) in answers.into_iter().flatten() {
        if let Err(reason) = answer {
            report.faults.insert(name, format!("{name}: {reason}"));
        }
    }
    for Setting { name, default, .. } in &SETTINGS {
        let default = match *default {
            "" if process == Process::Stack && is_made(name) => {
                "(private, made by `up`)".to_owned()
            }
            "" => "(not set)".to_owned(),
            default => format!("({default})"),
        };
        report.line(name, said(name), default);
    }
    for Number { name, default, .. } in &NUMBERS {
        report.line(name, said(name), format!("({default})"));
    }
    for Own { name, default, check } in own {
        let value = said(name);
        if let Some(Err(fault)) = value.as_ref().map(|said| check(&said.value)) {
            report.faults.insert(name, fault);
        }
        report.line(name, value, format!("({default})"));
    }
    report
}

/// What `roundtable up` makes or starts itself.
fn is_made(name: &str) -> bool {
    [POSTGRES, READER, REDIS, NATS, STORE, SECRETS].contains(&name)
}

/// The settings, with something in the place of those that are missing or wrong: one fault must not
/// hide the next one.
fn read(
    process: Process,
    said: &impl Fn(&str) -> Option<Said>,
    faults: &mut BTreeMap<&'static str, String>,
) -> Config {
    let secrets_fault = Mutex::new(None);
    loop {
        let variable = |name: &str| {
            let stand_in = || SETTINGS.iter().find(|it| it.name == name).map(|it| it.stand_in);
            let said = said(name).map(|said| said.value);
            match said {
                Some(said) if !faults.contains_key(name) => Some(said),
                None if process == Process::Stack && is_made(name) => stand_in().map(str::to_owned),
                None if name == READER && process == Process::Service => None,
                None if !faults.contains_key(name) => None,
                Some(_) | None => stand_in().map(str::to_owned),
            }
        };
        let load = |folder: &std::path::Path| {
            let made = process == Process::Stack && said(SECRETS).is_none();
            if !made && let Err(error) = Secrets::load(folder) {
                *secrets_fault.lock().expect("no panic holds it") = Some(error.to_string());
            }
            let log = event_log::Secrets { master: [0; 32], deployment: [0; 32] };
            Ok(Secrets { log, signing: [0; 32], audit: [0; 32] })
        };
        let fault = match Config::read_with(variable, load) {
            Ok(config) if process == Process::Reader && config.postgres_reader_url.is_none() => {
                ConfigError::Missing { name: READER, meaning: "the role that reads" }
            }
            Ok(config) => {
                let fault = secrets_fault.into_inner().expect("no panic holds it");
                if let (Some(fault), false) = (fault, faults.contains_key(SECRETS)) {
                    faults.insert(SECRETS, format!("{SECRETS}: {fault}"));
                }
                return config;
            }
            Err(fault) => fault,
        };
        let (ConfigError::Missing { name, .. } | ConfigError::Wrong { name, .. }) = &fault else {
            unreachable!("keys that cannot be read are noted above");
        };
        let known = faults.insert(name, fault.to_string());
        assert!(known.is_none(), "what stands in for {name} is well formed");
    }
}

type Answer = Option<(&'static str, Result<(), String>)>;

async fn bounded(
    name: &'static str,
    given: bool,
    check: impl Future<Output = Result<(), String>>,
) -> Answer {
    given.then_some(())?;
    let timed_out = || Err(format!("does not answer within {} s", PATIENCE.as_secs()));
    Some((name, tokio::time::timeout(PATIENCE, check).await.unwrap_or_else(|_| timed_out())))
}

/// Logs in, and asks whether the role is the right one.
async fn postgres(url: &str, reader: bool) -> Result<(), String> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
    let pool = pool.connect(url).await.map_err(|error| error.to_string())?;
    let bypasses: bool = sqlx::query_scalar(
        "select rolsuper or rolbypassrls from pg_roles where rolname = current_user",
    )
    .fetch_one(&pool)
    .await
    .map_err(|error| error.to_string())?;
    pool.close().await;
    match reader && bypasses {
        true => Err("the readers' role must not bypass row-level security".to_owned()),
        false => Ok(()),
    }
}

async fn redis(url: &str) -> Result<(), String> {
    let redis = crate::Redis::new(url, "").map_err(|error| error.to_string())?;
    redis.probe().await.map(|_| ())
}

async fn nats(url: &str) -> Result<(), String> {
    let connected = crate::nats::options(url).connect(url).await;
    let client = connected.map_err(|error| error.to_string())?;
    client.flush().await.map_err(|error| error.to_string())
}

async fn store(config: &Config) -> Result<(), String> {
    let nobody = PgPoolOptions::new().acquire_timeout(Duration::from_millis(1));
    let log = EventLog::connect(event_log::Config {
        eventstore_url: config.eventstore_url.clone(),
        postgres: nobody.connect_lazy(NOBODY).map_err(|error| error.to_string())?,
        secrets: config.secrets.log.clone(),
    });
    let log = log.await.map_err(|error| error.to_string())?;
    log.head().await.map(|_| ()).map_err(|error| error.to_string())
}

/// A value without what is secret in it: the password of a URL, or its token.
fn masked(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None if scheme.starts_with("postgres") => format!("{user}@{host}"),
            None => format!("***@{host}"),
        },
        None => authority.to_owned(),
    };
    let Some((path, query)) = path.split_once('?') else {
        return format!("{scheme}://{authority}{path}");
    };
    let parameter = |part: &str| match part.split_once('=') {
        Some((name, _)) if name.to_lowercase().contains("pass") => format!("{name}=***"),
        Some(_) | None => part.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(parameter).collect();
    format!("{scheme}://{authority}{path}?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: Vec<(&'static str, String)>) -> impl Fn(&str) -> Option<Said> {
        move |name| {
            let (_, value) = pairs.iter().find(|(known, _)| *known == name)?;
            Some(Said { value: value.clone(), source: "test" })
        }
    }

    #[test]
    fn no_secret_is_shown() {
        for (value, shown) in [
            (
                "postgres://ada:p%40ss@h:1/db?sslmode=require&password=x",
                "postgres://ada:***@h:1/db?sslmode=require&password=***",
            ),
            ("postgres://ada@h/db", "postgres://ada@h/db"),
            ("redis://:word@h", "redis://:***@h"),
            ("nats://token@h:4222", "nats://***@h:4222"),
            ("nats://a:b@c@h", "nats://a:***@h"),
            ("esdb://admin:changeit@h:2113?tls=true", "esdb://admin:***@h:2113?tls=true"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(masked(value), shown);
        }
    }

    #[tokio::test]
    async fn every_fault_is_named_and_none_hides_another() {
        let secrets = tempfile::tempdir().unwrap();
        let report = check(
            Process::Reader,
            &[],
            from(vec![
                (POSTGRES, "postgres://a:secret-word@127.0.0.1:1/b".to_owned()),
                (REDIS, "redis://:secret-word@127.0.0.1:1".to_owned()),
                (NATS, "http://b".to_owned()),
                (STORE, "esdb://127.0.0.1:1?tls=false".to_owned()),
                (SECRETS, secrets.path().display().to_string()),
                ("ROUNDTABLE_ALLOWED_ORIGINS", "chat.example".to_owned()),
                ("ROUNDTABLE_LIMITS", "many".to_owned()),
                ("ROUNDTABLE_ARGON2_KIB", "much".to_owned()),
            ]),
        )
        .await;
        let faulty: Vec<_> = report.faults.keys().copied().collect();
        let mut all = vec![
            POSTGRES,
            READER,
            REDIS,
            NATS,
            STORE,
            SECRETS,
            "ROUNDTABLE_LISTEN",
            "ROUNDTABLE_ALLOWED_ORIGINS",
            "ROUNDTABLE_LIMITS",
            "ROUNDTABLE_ARGON2_KIB",
        ];
        all.sort_unstable();
        assert_eq!(faulty, all, "{report}");
        let told = report.to_string();
        assert!(!report.is_good() && !told.contains("secret-word"), "{told}");
        assert!(told.contains("master.key"), "{told}");
        assert!(told.contains("ok     ROUNDTABLE_NODE"), "{told}");
    }

    /// A server that takes one connection, and tells how TLS was begun on it.
    async fn listener(greeting: &'static [u8]) -> (String, tokio::task::JoinHandle<[u8; 2]>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let hello = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.write_all(greeting).await.unwrap();
            let mut first = [0; 8];
            connection.read_exact(&mut first).await.unwrap();
            // A client of Postgres asks whether it may, and is told yes.
            if first == [0, 0, 0, 8, 4, 210, 22, 47] {
                connection.write_all(b"S").await.unwrap();
                connection.read_exact(&mut first).await.unwrap();
            }
            [first[0], first[1]]
        });
        (address, hello)
    }

    #[tokio::test]
    async fn tls_is_spoken_by_the_scheme_of_a_url() {
        // What a server of NATS says first, before TLS.
        let nats = b"INFO {\"server_id\":\"A\",\"version\":\"2.10.0\",\"go\":\"\",\"host\":\"\",\
            \"port\":1,\"max_payload\":1024,\"proto\":1,\"tls_required\":true}\r\n";
        for (name, before, greeting, after) in [
            (POSTGRES, "postgres://a:b@", &b""[..], "/c?sslmode=require"),
            (REDIS, "rediss://", b"", ""),
            (NATS, "tls://", nats, ""),
            (STORE, "esdb://", b"", "?tls=true"),
        ] {
            let (address, hello) = listener(greeting).await;
            let url = format!("{before}{address}{after}");
            let report = check(Process::Stack, &[], from(vec![(name, url), listen()])).await;
            assert!(report.faults.contains_key(name), "{report}");
            // A record of the handshake (RFC 8446, section 5.1).
            assert_eq!(hello.await.unwrap(), [22, 3], "{name}");
        }
    }

    fn listen() -> (&'static str, String) {
        ("ROUNDTABLE_LISTEN", "127.0.0.1:0".to_owned())
    }

    #[tokio::test]
    async fn what_up_makes_itself_is_no_fault() {
        let report = check(Process::Stack, &[], from(vec![listen()])).await;
        assert!(report.is_good(), "{report}");
        assert!(report.to_string().contains("made by `up`"), "{report}");
    }
}
