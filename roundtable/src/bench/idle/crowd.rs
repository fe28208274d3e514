//! Many people who are logged in, and their sockets, which say nothing but pong.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use chrono::TimeDelta;
use domain::{conversation, login};
use event_log::EventLog;
use events::{ConversationId, LoginId, Position, StreamName, UserId};
use futures::{StreamExt, TryStreamExt, stream};
use service::{Identity, Tokens};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream, tcp::OwnedWriteHalf},
    task::JoinSet,
};

use crate::{
    bench::{
        past::{Past, context, now},
        wire::{self, Reader},
    },
    client::new_id,
    stack::Stack,
};

/// How many people are in a group together.
const GROUP: usize = 10;

/// How much is under way at once.
const AT_ONCE: usize = 64;

/// A port is free again only after a while, so the sockets come from several addresses.
const ADDRESSES: usize = 4;

/// Frames are short: a ping, somebody who came or went.
const READ_AT_ONCE: usize = 512;

/// People who are logged in.
pub(super) struct Crowd {
    tokens: Vec<String>,
}

/// Sockets that are open until this is dropped.
pub(super) struct Sockets {
    alive: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Sockets {
    pub(super) fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }
}

impl Crowd {
    /// Writes their log-ins and groups into the log. Signing up over REST would hash a password
    /// twice for each; what a socket needs is the same.
    pub(super) async fn gather(stack: &Stack, people: usize) -> Result<Self> {
        let past = Past::of(stack).await?;
        let tokens = Tokens::new(&past.secrets.signing);
        let identities: Vec<_> = (0..people)
            .map(|_| Identity::new(UserId::new(new_id()), LoginId::new(new_id())))
            .collect();
        stream::iter(&identities)
            .map(|identity| log_in(&past.log, *identity))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        let groups =
            stream::iter(identities.chunks(GROUP)).map(|group| open_group(&past.log, group));
        let positions: Vec<_> = groups.buffer_unordered(AT_ONCE).try_collect().await?;
        let last = positions.into_iter().max().context("nobody is there")?;
        // Sockets that open from here on belong to their group from their start.
        past.shown(last).await?;
        let now = now();
        Ok(Self { tokens: identities.iter().map(|one| tokens.issue(*one, now)).collect() })
    }

    /// Opens the sockets of some of them.
    pub(super) async fn sockets(&self, address: &str, who: Range<usize>) -> Result<Sockets> {
        let alive = Arc::new(AtomicUsize::new(0));
        let open = stream::iter(self.tokens[who].iter().enumerate())
            .map(|(index, token)| open(address, index, token))
            .buffer_unordered(AT_ONCE);
        let mut tasks = JoinSet::new();
        let mut open = std::pin::pin!(open);
        while let Some((reader, writer)) = open.try_next().await? {
            alive.fetch_add(1, Ordering::Relaxed);
            let alive = Arc::clone(&alive);
            tasks.spawn(async move {
                listen(reader, writer).await;
                alive.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(Sockets { alive, _tasks: tasks })
    }
}

async fn log_in(log: &EventLog, Identity { user, login, .. }: Identity) -> Result<()> {
    let command = login::Command::Open {
        login,
        user,
        refresh_digest: String::new(),
        expires: now() + TimeDelta::days(1),
        device: None,
    };
    let stream = StreamName::login(login);
    log.transact_new::<login::Login>(&stream, &command, &context(user)).await?;
    Ok(())
}

async fn open_group(log: &EventLog, people: &[Identity]) -> Result<Position> {
    let conversation = ConversationId::new(new_id());
    let by = people[0].user;
    let command = conversation::Command::OpenGroup {
        conversation,
        by,
        title: "Idle".to_owned(),
        members: people[1..].iter().map(|one| one.user).collect(),
    };
    let stream = StreamName::conversation(conversation);
    let opened =
        log.transact_new::<conversation::Conversation>(&stream, &command, &context(by)).await?;
    Ok(opened.position)
}

async fn open(address: &str, index: usize, token: &str) -> Result<(Reader, OwnedWriteHalf)> {
    let socket = TcpSocket::new_v4()?;
    let from = u8::try_from(2 + index % ADDRESSES).unwrap_or(2);
    socket.bind(([127, 0, 0, from], 0).into())?;
    let stream: TcpStream = socket.connect(address.parse()?).await?;
    wire::open_on(stream, address, token, READ_AT_ONCE).await
}

/// Answers pings until the socket ends.
async fn listen(mut reader: Reader, mut writer: OwnedWriteHalf) {
    let mut pongs = Vec::new();
    while reader.fill().await.is_ok() {
        let read = reader.frames(|kind, payload| {
            if wire::is_ping(kind) {
                wire::pong(&mut pongs, payload);
            }
        });
        if read.is_err() || (!pongs.is_empty() && writer.write_all(&pongs).await.is_err()) {
            return;
        }
        pongs.clear();
    }
}
