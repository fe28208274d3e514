//! What is read: groups of people who know each other, and all they have said.

use std::time::Duration;

use anyhow::{Context, Result};
use domain::message::{Action, Command, Draft, Message, Place};
use event_log::EventLog;
use events::{ConversationId, MessageId, Position, StreamName, UserId};
use futures::{StreamExt, TryStreamExt, stream};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::time::Instant;

use super::words;
use crate::{
    bench::{
        past::{Past, context},
        people,
    },
    client::{Client, Session, new_id},
    stack::Stack,
};

const PEOPLE: usize = 40;
const GROUPS: usize = 100;
const MEMBERS: usize = 20;
const FRIENDS: usize = 20;

/// Messages that are under way to the log at once.
const AT_ONCE: usize = 256;

/// The people, what they said, and how long it took to write it down.
pub(in crate::bench) struct Library {
    pub(in crate::bench) people: Vec<Session>,
    pub(super) groups: Vec<Group>,
    /// Messages in the reader's groups.
    pub(super) readable: u32,
    /// How long it took to append all messages.
    pub(super) filled: Duration,
    /// How much longer until every read model showed them.
    pub(super) shown: Duration,
    /// Where the last of them is.
    pub(super) last: Position,
}

/// A group, and who may speak in it.
pub(super) struct Group {
    pub(super) id: ConversationId,
    members: Vec<UserId>,
    /// The reader is in every second one.
    pub(super) is_read: bool,
    pub(super) messages: u32,
    /// Some message of it.
    pub(super) message: Option<MessageId>,
}

impl Library {
    pub(in crate::bench) async fn write(stack: &Stack, messages: u32) -> Result<Self> {
        eprintln!("{PEOPLE} people sign up, and talk in {GROUPS} groups");
        let mut people = people::sign_up(&Client::new(&stack.urls().api)?, PEOPLE).await?;
        befriend(&people).await?;
        let mut groups = open_groups(&people).await?;
        let past = Past::of(stack).await?;
        let begun = Instant::now();
        let said = say(&past.log, &mut groups, messages).await?;
        let filled = begun.elapsed();
        eprintln!("{messages} messages are said after {:.1} s", filled.as_secs_f64());
        // It may have taken longer than an access token is good for.
        for person in &mut people {
            person.refresh().await?;
        }
        // One after all the others: what was appended at once ended in no order.
        let last = people[0].open_group("The last", &[]).await?.position.max(said);
        past.shown(last).await?;
        let shown = begun.elapsed().saturating_sub(filled);
        eprintln!("all read models show them after {:.1} s more", shown.as_secs_f64());
        past.analyse().await?;
        for person in &mut people {
            person.refresh().await?;
        }
        let readable = groups.iter().filter(|group| group.is_read).map(|group| group.messages);
        Ok(Self { readable: readable.sum(), people, groups, filled, shown, last })
    }

    pub(super) fn reader(&self) -> &Session {
        &self.people[0]
    }

    /// The group of the reader where most was said.
    pub(super) fn busiest(&self) -> Result<&Group> {
        let mine = self.groups.iter().filter(|group| group.is_read);
        mine.max_by_key(|group| group.messages).context("the reader is in no group")
    }
}

/// The reader has friends, and requests that nobody answered.
async fn befriend(people: &[Session]) -> Result<()> {
    let reader = &people[0];
    for (number, other) in people[1..].iter().enumerate() {
        other.ask_for_friendship(reader.user()).await?;
        if number < FRIENDS {
            reader.accept_friendship(other.user()).await?;
        }
    }
    Ok(())
}

async fn open_groups(people: &[Session]) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for number in 0..GROUPS {
        let is_read = number % 2 == 0;
        let others = &people[1..];
        let mut sessions: Vec<_> =
            (0..MEMBERS).map(|member| &others[(number * 7 + member) % others.len()]).collect();
        if is_read {
            sessions[0] = &people[0];
        }
        let members: Vec<_> = sessions.iter().map(|one| one.user()).collect();
        let title = format!("Group {number}");
        let opened = sessions[0].open_group(&title, &members[1..]).await?;
        groups.push(Group { id: opened.id, members, is_read, messages: 0, message: None });
    }
    Ok(groups)
}

/// Appends the messages. The largest group gets about a tenth of them, the smallest a thousandth.
async fn say(log: &EventLog, groups: &mut [Group], count: u32) -> Result<Position> {
    // The same texts in every run.
    let mut random = StdRng::seed_from_u64(1);
    let drafts = (0..count).map(|_| {
        let group = ((GROUPS as f64).powf(random.random::<f64>()) as usize - 1).min(GROUPS - 1);
        let group = &mut groups[group];
        let sender = group.members[random.random_range(0..group.members.len())];
        let message = MessageId::new(new_id());
        group.messages += 1;
        group.message = Some(message);
        (group.id, sender, message, words::text(&mut random))
    });
    stream::iter(drafts)
        .map(|(conversation, sender, message, text)| send(log, conversation, sender, message, text))
        .buffer_unordered(AT_ONCE)
        .try_fold(Position::START, async |last, one| Ok(last.max(one)))
        .await
}

async fn send(
    log: &EventLog,
    conversation: ConversationId,
    by: UserId,
    message: MessageId,
    text: String,
) -> Result<Position> {
    let place = Place { conversation, member: true, blocked: false, moderator: false };
    let action = Action::Send(Draft { text, ..Draft::default() });
    let command = Command { message, by, place, action };
    let stream = StreamName::message(message);
    Ok(log.transact_new::<Message>(&stream, &command, &context(by)).await?.position)
}

/// The first thing in a list, for the path of another read.
pub(super) async fn first(reader: &Session, path: &str) -> Result<Value> {
    let page: Value = reader.read(path, None).await?;
    Ok(page["items"][0].clone())
}
