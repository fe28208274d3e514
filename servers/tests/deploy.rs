//! The deployment files, where no Docker engine is at hand: they are parsed, and HAProxy is run.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_yaml_ng::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn compose() -> Value {
    let mut value: Value = serde_yaml_ng::from_str(&read("compose.yaml")).unwrap();
    value.apply_merge().unwrap();
    value
}

fn services(compose: &Value) -> Vec<(String, Value)> {
    let services = compose["services"].as_mapping().unwrap();
    services.iter().map(|(k, v)| (k.as_str().unwrap().to_owned(), v.clone())).collect()
}

fn names(value: &Value) -> BTreeSet<String> {
    value
        .as_mapping()
        .map(|mapping| mapping.keys().map(|key| key.as_str().unwrap().to_owned()).collect())
        .unwrap_or_default()
}

#[test]
fn every_service_has_a_health_check_or_is_a_one_shot() {
    let compose = compose();
    let mut one_shots = BTreeSet::new();
    for (name, service) in services(&compose) {
        if service["restart"].as_str() == Some("no") {
            one_shots.insert(name);
        } else {
            let test = service["healthcheck"]["test"].as_sequence();
            assert!(test.is_some_and(|test| test.len() > 1), "{name} has no health check");
            assert_eq!(service["restart"].as_str(), Some("unless-stopped"), "{name}");
        }
    }
    assert_eq!(one_shots, BTreeSet::from(["migrate".to_owned(), "secrets".to_owned()]));
}

#[test]
fn every_dependency_exists_and_is_waited_for_in_the_right_way() {
    let compose = compose();
    let all = names(&compose["services"]);
    for (name, service) in services(&compose) {
        for (dependency, how) in service["depends_on"].as_mapping().into_iter().flatten() {
            let dependency = dependency.as_str().unwrap();
            assert!(all.contains(dependency), "{name} waits for {dependency}, which is not there");
            let target = &compose["services"][dependency];
            let expected = match target["restart"].as_str() {
                Some("no") => "service_completed_successfully",
                _ => "service_healthy",
            };
            assert_eq!(how["condition"].as_str(), Some(expected), "{name} on {dependency}");
            let optional = how["required"].as_bool() == Some(false);
            assert_eq!(optional, !target["profiles"].is_null(), "{name} on {dependency}");
        }
    }
}

#[test]
fn volumes_and_mounted_files_exist() {
    let compose = compose();
    let volumes = names(&compose["volumes"]);
    let mut used = BTreeSet::new();
    for (name, service) in services(&compose) {
        for mount in service["volumes"].as_sequence().into_iter().flatten() {
            let (source, _) = mount.as_str().unwrap().split_once(':').unwrap();
            if let Some(file) = source.strip_prefix("./") {
                assert!(root().join(file).exists(), "{name} mounts {file}");
            } else {
                assert!(volumes.contains(source), "{name} mounts the volume {source}");
                used.insert(source.to_owned());
            }
        }
    }
    assert_eq!(used, volumes, "a volume that nobody uses");
}

#[test]
fn our_services_run_our_programs_without_privileges() {
    let compose = compose();
    let dockerfile = read("deploy/Dockerfile");
    let ours = services(&compose).into_iter().filter(|(_, s)| s["image"] == "roundtable");
    let mut count = 0;
    for (name, service) in ours {
        let program = service["command"][0].as_str().unwrap();
        assert!(dockerfile.contains(&format!("target/release/{program}")), "{name}: {program}");
        assert_eq!(service["read_only"].as_bool(), Some(true), "{name}");
        assert_eq!(service["cap_drop"][0].as_str(), Some("ALL"), "{name}");
        // Media is no HTTP, and a client has to reach the very node that its ticket names.
        assert_eq!(service["ports"].is_null(), name != "sfu", "{name}: past the proxy, or not");
        count += 1;
    }
    assert_eq!(count, 7);
    let stages: Vec<&str> = dockerfile.split("\nFROM ").skip(1).collect();
    assert_eq!(stages.len(), 2, "one stage builds, one is the image");
    let user = stages[1].lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(!matches!(user, "root" | "0"), "the image runs as {user}");
}

#[test]
fn no_password_has_a_default_and_every_variable_is_explained() {
    let text = read("compose.yaml");
    let example = read(".env.example");
    for (start, _) in text.match_indices("${") {
        let rest = &text[start + 2..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        assert!(example.contains(&format!("{name}=")), "{name} is not in .env.example");
        if name.ends_with("_PASSWORD") {
            assert!(rest[name.len()..].starts_with(":?"), "{name} has a default");
            assert!(example.contains(&format!("\n{name}=\n")), "{name} has a value");
        }
    }
    for (_, service) in services(&compose()) {
        for name in names(&service["environment"]) {
            let foreign = ["POSTGRES_", "KURRENTDB_", "NATS_", "REDISCLI_"];
            let ours = !foreign.iter().any(|prefix| name.starts_with(prefix));
            assert!(!ours || example.contains(&format!("{name}=")), "{name} is not explained");
        }
    }
}

/// A service behind the proxy: says who it is and what it was asked.
async fn backend(name: &'static str) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = head(&mut stream).await;
            let line = request.lines().next().unwrap_or_default();
            let body = format!("{name} {line}");
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, task)
}

/// Reads until the empty line after the headers, or the end.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn ask(port: u16, method: &str, path: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Idempotency-Key: 1\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    exchange.await.unwrap_or_default()
}

/// A port that nobody listens at, below those that the kernel gives to connections: one of the
/// others may be taken by a connection of another process before the proxy listens.
fn free_port() -> u16 {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let least: u16 = given.split_whitespace().next().unwrap().parse().unwrap();
    // Tests run side by side, each as a process of its own, and begin to look at different ports.
    let begin = least / 2 + u16::try_from(std::process::id() % u32::from(least / 2)).unwrap();
    let mut ports = (begin..least).chain(least / 2..begin);
    ports.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn haproxy_accepts_its_configuration_in_every_shape() {
    let shapes: [&[(&str, &str)]; 3] = [
        &[],
        &[("COMMAND_API_2", "127.0.0.1:1"), ("QUERY_API_2", "127.0.0.1:2")],
        &[("COMMAND_API_DNS", "localhost:1"), ("QUERY_API_DNS", "localhost:2")],
    ];
    for variables in shapes {
        let output = Command::new("haproxy")
            .args(["-c", "-f"])
            .arg(root().join("deploy/haproxy.cfg"))
            .envs(variables.iter().copied())
            .output()
            .expect("haproxy is installed by `make deps-test`");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !text.contains("WARNING"), "{variables:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_joins_the_two_apis_and_goes_round_a_dead_node() {
    let (command_1, one) = backend("command").await;
    let (command_2, two) = backend("command").await;
    let (query_1, three) = backend("query").await;
    let (query_2, four) = backend("query").await;
    let port = free_port();
    let address = |port: u16| format!("127.0.0.1:{port}");
    let _proxy = Proxy(
        Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(root().join("deploy/haproxy.cfg"))
            .env("PROXY_LISTEN", address(port))
            .env("COMMAND_API_1", address(command_1))
            .env("COMMAND_API_2", address(command_2))
            .env("QUERY_API_1", address(query_1))
            .env("QUERY_API_2", address(query_2))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is installed by `make deps-test`"),
    );
    let ready = async {
        while !ask(port, "GET", "/readyz").await.ends_with("\r\n\r\nready") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ready).await.unwrap();

    for (method, path, to) in [
        ("GET", "/v1/gateway", "command"),
        ("POST", "/v1/users", "command"),
        ("PUT", "/v1/users/1", "command"),
        ("DELETE", "/v1/friendships/1", "command"),
        ("OPTIONS", "/v1/users", "command"),
        ("POST", "/v1/files", "command"),
        ("GET", "/v1/files/1/content", "query"),
        ("GET", "/v1/conversations", "query"),
        ("GET", "/v1/gateways", "query"),
    ] {
        let answer = ask(port, method, path).await;
        let expected = format!("\r\n\r\n{to} {method} {path} HTTP/1.1");
        assert!(answer.ends_with(&expected), "{method} {path}: {answer}");
    }
    assert!(ask(port, "GET", "/metrics").await.starts_with("HTTP/1.1 404"));

    // One of each dies: nobody sees it, not even before the health check does.
    one.abort();
    three.abort();
    for round in 0..40 {
        let answer = ask(port, "POST", "/v1/messages").await;
        assert!(answer.contains("command POST"), "round {round}: {answer}");
        let answer = ask(port, "GET", "/v1/messages").await;
        assert!(answer.contains("query GET"), "round {round}: {answer}");
    }
    // The last one dies: the proxy says so.
    two.abort();
    let unready = async {
        while !ask(port, "GET", "/readyz").await.starts_with("HTTP/1.1 503") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), unready).await.unwrap();
    four.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_of_the_image_reads_the_answer() {
    let healthy = |port: u16| {
        let mut command = Command::new(root().join("deploy/healthy"));
        command.env("ROUNDTABLE_LISTEN", format!("0.0.0.0:{port}"));
        command.stderr(Stdio::null()).status().unwrap().success()
    };
    let (port, task) = backend("ready").await;
    assert!(healthy(port));
    task.abort();
    let _ = task.await;
    assert!(!healthy(port));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let unready = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(head(&mut stream).await.starts_with("GET /readyz HTTP/1.1\r\n"));
        let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    assert!(!healthy(port));
    unready.await.unwrap();
}
