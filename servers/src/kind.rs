//! Which servers there are, which are wanted, and how durable they have to be.

use std::fmt;

/// One of the three private servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// PostgreSQL: the read models and the key vault.
    Postgres,
    /// Redis: caches, presence, limits and the receipt buffer.
    Redis,
    /// NATS with JetStream: the live path and the `EVENTS` stream.
    Nats,
}

impl Kind {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::Nats];

    /// The word used for file names, folders and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }

    /// The name of the program, which is also what the kernel calls the process.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
        }
    }

    /// The Debian package that has the program.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
        })
    }
}

/// Which servers to start; the others are given by URL and left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Start PostgreSQL.
    pub postgres: bool,
    /// Start Redis.
    pub redis: bool,
    /// Start NATS.
    pub nats: bool,
}

impl Wanted {
    /// Every server.
    pub const ALL: Self = Self { postgres: true, redis: true, nats: true };

    pub(crate) fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Postgres => self.postgres,
            Kind::Redis => self.redis,
            Kind::Nats => self.nats,
        }
    }
}

/// What a power cut may cost. A killed process costs nothing in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// What is acknowledged is on the disk: for `roundtable up`.
    #[default]
    Full,
    /// Postgres leaves the disk to the operating system: for tests, which throw the data away.
    Relaxed,
}
