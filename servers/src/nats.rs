//! NATS with JetStream: its configuration, and when it is ready.

use std::{net::Ipv4Addr, path::Path, process::Command};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{Error, Kind, data::Data, process::bound_to_us, server::Plan};

const USER: &str = "roundtable";

/// Writes the configuration (0600: it holds the password) and says how to start the server.
pub(crate) fn plan(data: &Data, binary: &Path, port: u16) -> Result<Plan, Error> {
    let folder = data.private_folder("nats")?;
    let password = data.password(Kind::Nats)?;
    let configuration = format!(
        "# Written at every start: changes are lost.\n\
         listen: \"127.0.0.1:{port}\"\n\
         server_name: \"roundtable\"\n\
         jetstream {{ store_dir: {folder:?} }}\n\
         authorization {{ user: \"{USER}\", password: \"{password}\" }}\n",
        folder = folder.display().to_string(),
    );
    let path = data.write("nats.conf", &configuration)?;
    let mut command: Command = bound_to_us(binary, None);
    command.arg("-js").arg("--config").arg(path).current_dir(&folder);
    let url = format!("nats://{USER}:{password}@127.0.0.1:{port}");
    Ok(Plan { command, url, password, family: None })
}

/// Ready means that it takes the password and that JetStream answers a request of ours.
pub(crate) async fn probe(port: u16, password: &str) -> Result<(), String> {
    ask(port, password).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Speaks the few lines of the client protocol that this takes.
async fn ask(port: u16, password: &str) -> std::io::Result<Result<(), String>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let greeting = lines.next_line().await?.unwrap_or_default();
    if !greeting.starts_with("INFO ") {
        return Ok(Err(format!("it greeted with {greeting:?}")));
    }
    let connect = serde_json::json!({
        "user": USER, "pass": password, "verbose": false, "pedantic": false,
        "lang": "rust", "version": "0", "protocol": 1,
    });
    let request = "SUB _INBOX.ready 1\r\nPUB $JS.API.INFO _INBOX.ready 0\r\n\r\n";
    writer.write_all(format!("CONNECT {connect}\r\n{request}").as_bytes()).await?;
    while let Some(line) = lines.next_line().await? {
        if line.starts_with("MSG _INBOX.ready") {
            let body = lines.next_line().await?.unwrap_or_default();
            let account: serde_json::Value = serde_json::from_str(&body)?;
            return Ok(match account.get("error") {
                None => Ok(()),
                Some(error) => Err(format!("JetStream said {error}")),
            });
        }
        if line.starts_with("-ERR") {
            return Ok(Err(format!("it answered {line:?}")));
        }
        if line.starts_with("PING") {
            writer.write_all(b"PONG\r\n").await?;
        }
    }
    Ok(Err("it closed the connection".to_owned()))
}
