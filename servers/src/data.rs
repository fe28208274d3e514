//! The data folder: its lock, the generated passwords, the remembered ports and the logs.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rand::Rng;

use crate::{
    Kind,
    error::{Context, Error},
};

/// Below the ports that the kernel gives to outgoing connections (from 32768 on), so that nobody
/// is given a server's port by chance while the server is away for a moment.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A log beyond this size is set aside, as `NAME.log.1`, at the next start.
const LARGEST_LOG: u64 = 16 << 20;

/// The folder of one set of private servers, locked for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Data {
    root: PathBuf,
    _lock: File,
}

impl Data {
    /// Makes the folder if need be, and takes its lock.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root).context("could not make the data folder", root)?;
        let root = fs::canonicalize(root).context("could not open the data folder", root)?;
        let logs = root.join("logs");
        fs::create_dir_all(&logs).context("could not make the log folder", logs)?;
        let path = root.join("servers.lock");
        let lock = private_file(&path).context("could not open the lock of the folder", &path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(Error::InUse(root)),
            Err(fs::TryLockError::Error(source)) => {
                Err(Error::Io { what: "could not lock the data folder", path, source })
            }
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a folder that nobody but this user may enter.
    pub(crate) fn private_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).context("could not make a folder", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .context("could not close a folder to others", &path)?;
        Ok(path)
    }

    /// Replaces a file, readable by this user alone, in one step.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(name);
        let new = self.root.join(format!("{name}.new"));
        let write = || {
            // One left by a crash may be older and open to others.
            let _ = fs::remove_file(&new);
            let mut file = private_file(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().context("could not write a file", &path)?;
        Ok(path)
    }

    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.root.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { what: "could not read a file", path, source }),
        }
    }

    /// The server's password: made once, kept in a file of mode 0600.
    pub(crate) fn password(&self, kind: Kind) -> Result<String, Error> {
        let name = password_file(kind);
        if let Some(known) = self.read(&name)?.filter(|known| !known.is_empty()) {
            return Ok(known);
        }
        let password = hex::encode(rand::rng().random::<[u8; 24]>());
        self.write(&name, &password)?;
        Ok(password)
    }

    pub(crate) fn has_password(&self, kind: Kind) -> bool {
        self.root.join(password_file(kind)).exists()
    }

    /// The port of the last start if it is free, otherwise another.
    pub(crate) fn port(&self, kind: Kind) -> Result<u16, Error> {
        let name = format!("{}.port", kind.name());
        let known = self.read(&name)?.and_then(|text| text.parse().ok());
        if let Some(port) = known.filter(|port| is_free(*port)) {
            return Ok(port);
        }
        self.new_port(kind)
    }

    /// A free port, remembered for the next start.
    pub(crate) fn new_port(&self, kind: Kind) -> Result<u16, Error> {
        let mut random = rand::rng();
        let port = (0..1000).map(|_| random.random_range(PORTS)).find(|port| is_free(*port));
        let port = port.ok_or(Error::PortTaken { kind, port: PORTS.start })?;
        self.write(&format!("{}.port", kind.name()), &port.to_string())?;
        Ok(port)
    }

    /// Opens the server's log for what the next start writes.
    pub(crate) fn log(&self, kind: Kind) -> Result<Log, Error> {
        let path = self.root.join("logs").join(format!("{}.log", kind.name()));
        let open = || {
            if fs::metadata(&path).is_ok_and(|meta| meta.len() > LARGEST_LOG) {
                fs::rename(&path, path.with_extension("log.1"))?;
            }
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            let start = file.metadata()?.len();
            Ok(Log { file, start, path: path.clone() })
        };
        open().context("could not open the log", &path)
    }
}

fn password_file(kind: Kind) -> String {
    format!("{}.password", kind.name())
}

/// Opened or made with mode 0600, for reading and writing.
fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The log of one start of one server.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    start: u64,
}

impl Log {
    /// The last lines that were written since this start.
    pub(crate) fn tail(&self) -> String {
        const LINES: usize = 15;
        const BYTES: u64 = 8 << 10;
        let read = || {
            let mut file = File::open(&self.path)?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.start.max(end.saturating_sub(BYTES))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        if last.is_empty() { "(nothing was logged)".to_owned() } else { last.join("\n") }
    }
}
