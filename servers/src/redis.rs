//! Redis: its configuration, and when it is ready.

use std::{net::Ipv4Addr, path::Path, process::Command};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Error, Kind, data::Data, process::bound_to_us, server::Plan};

/// Writes the configuration (0600: it holds the password) and says how to start the server.
pub(crate) fn plan(data: &Data, binary: &Path, port: u16) -> Result<Plan, Error> {
    let folder = data.private_folder("redis")?;
    let password = data.password(Kind::Redis)?;
    let configuration = format!(
        "# Written at every start: changes are lost.\n\
         bind 127.0.0.1\n\
         port {port}\n\
         protected-mode yes\n\
         requirepass {password}\n\
         dir {folder:?}\n\
         daemonize no\n\
         tcp-backlog 128\n\
         # The receipt buffer must survive a crash; snapshots would only add writes.\n\
         appendonly yes\n\
         appendfsync everysec\n\
         save \"\"\n\
         # A full Redis says so instead of dropping receipts.\n\
         maxmemory-policy noeviction\n",
        folder = folder.display().to_string(),
    );
    let path = data.write("redis.conf", &configuration)?;
    let mut command: Command = bound_to_us(binary, None);
    command.arg(path).current_dir(&folder);
    let url = format!("redis://:{password}@127.0.0.1:{port}/0");
    Ok(Plan { command, url, password, family: None })
}

/// Ready means that it takes the password and answers PING; while it loads its file it does not.
pub(crate) async fn probe(port: u16, password: &str) -> Result<(), String> {
    let probe = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(format!("AUTH {password}\r\nPING\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        let mut buffer = [0; 512];
        while answer.iter().filter(|byte| **byte == b'\n').count() < 2 {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match probe.await {
        Ok(answer) if answer == "+OK\r\n+PONG\r\n" => Ok(()),
        Ok(answer) => Err(format!("it answered {:?}", answer.trim())),
        Err(error) => Err(error.to_string()),
    }
}
