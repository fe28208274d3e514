//! `roundtable up`: the whole stack until somebody ends it.

use std::{io::Write, time::Instant};

use anyhow::Result;
use servers::Kind;
use tokio_util::sync::CancellationToken;

use crate::stack::{Given, Stack, StackConfig};

/// How the line begins that says that the stack is ready; its address follows.
pub const READY: &str = "Roundtable is ready: ";

/// How to run.
#[derive(Clone, Debug)]
pub struct Up {
    /// What to start.
    pub stack: StackConfig,
    /// Remove everything in the end.
    pub throw_away: bool,
    /// End when standard input is closed: for programs that start a stack, so that it cannot
    /// outlive them.
    pub until_stdin_closes: bool,
}

/// Starts the stack, says where it is, and ends it on Ctrl-C or SIGTERM.
///
/// # Errors
/// When it does not start, or a part of it fails.
pub async fn run(up: Up) -> Result<()> {
    let begun = Instant::now();
    let shutdown = service::shutdown::on_signal();
    if up.until_stdin_closes {
        end_with_stdin(shutdown.clone());
    }
    let given = up.stack.given.clone();
    let is_new = !up.stack.data.exists();
    say(&format!("Roundtable {} ({}) is starting", crate::VERSION, crate::COMMIT));
    let mut stack = tokio::select! {
        stack = Stack::start(up.stack) => stack?,
        () = shutdown.cancelled() => return Ok(()),
    };
    say(&ready(&mut stack, &given, is_new, begun));
    let failed = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        failed = stack.supervise() => failed,
    };
    let ending = Instant::now();
    say("Stopping: sockets are told to come back; Ctrl-C again ends at once");
    let stopped = match up.throw_away {
        true => stack.destroy().await,
        false => stack.stop().await,
    };
    say(&format!("Stopped in {:.1} s", ending.elapsed().as_secs_f64()));
    failed.and(stopped)
}

/// What a person wants to know, and in the first line what a program does.
fn ready(stack: &mut Stack, given: &Given, is_new: bool, begun: Instant) -> String {
    let server = |kind: Kind, given: bool, stack: &mut Stack| match stack.servers().port(kind) {
        Some(port) if !given => format!("{kind} (private, port {port})"),
        _ => format!("{kind} (given)"),
    };
    let servers = [
        match given.eventstore {
            Some(_) => "event store (given)".to_owned(),
            None => "event store (embedded)".to_owned(),
        },
        server(Kind::Postgres, given.postgres.is_some(), stack),
        server(Kind::Redis, given.redis.is_some(), stack),
        server(Kind::Nats, given.nats.is_some(), stack),
    ];
    let media: Vec<String> = stack.media().iter().map(ToString::to_string).collect();
    format!(
        "{READY}{}\n  data     {} ({})\n  servers  {}\n  media    UDP {}\n  started  in {:.1} s\n  Ctrl-C stops it",
        stack.urls().api,
        stack.data().display(),
        if is_new { "new" } else { "found again" },
        servers.join(", "),
        media.join(", "),
        begun.elapsed().as_secs_f64(),
    )
}

/// Written at once: whoever waits for the address reads from a pipe. If they are gone, the stack
/// still has to end in order.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// In a thread of its own: a read of standard input cannot be given up.
fn end_with_stdin(shutdown: CancellationToken) {
    std::thread::spawn(move || {
        // Nothing is expected there; the end of it is what counts.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        shutdown.cancel();
    });
}
