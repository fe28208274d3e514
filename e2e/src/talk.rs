//! People who talk through any address of the system, and what they must have seen.

use std::time::Duration;

use anyhow::{Context, Result};
use events::{ConversationId, MessageId, Position, UserId};
use futures::future::try_join_all;
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Client, Session, SignUp, new_id};

mod ledger;
mod listener;
mod load;
mod verdict;

pub use ledger::Ledger;
pub use listener::{Heard, Listener};
pub use load::Load;
pub use verdict::Verdict;

/// How long anything may take that has to come by itself, with two cores in a debug build.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// The password of everybody in these tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// Somebody with an account who is logged in.
#[derive(Clone, Debug)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The log-in.
    pub session: Session,
}

impl Person {
    /// Signs a new person up and logs them in. Nobody else has this name.
    pub async fn new(url: &str, name: &str) -> Result<Self> {
        let client = Client::new(url)?;
        let who = sign_up(name);
        client.sign_up(&who).await.with_context(|| format!("{name} signs up"))?;
        Self::log_in(url, &who).await
    }

    /// Logs in somebody who signed up.
    pub async fn log_in(url: &str, who: &SignUp) -> Result<Self> {
        let session = Client::new(url)?.log_in(&who.email, PASSWORD).await;
        let session = session.with_context(|| format!("{} logs in", who.name))?;
        Ok(Self { name: who.name.clone(), email: who.email.clone(), session })
    }

    /// Who they are.
    pub fn user(&self) -> UserId {
        self.session.user()
    }

    /// What they show to prove it.
    pub fn token(&self) -> &str {
        &self.session.tokens().access_token
    }

    /// The start of a request of theirs at any address.
    pub fn request(&self, url: &str, method: Method, path: &str) -> Result<RequestBuilder> {
        Ok(Client::new(url)?.request(method, path).bearer_auth(self.token()))
    }
}

/// What a person with this name says of themselves to sign up; different at every call.
pub fn sign_up(name: &str) -> SignUp {
    let unique = new_id().simple().to_string();
    // The end of a UUIDv7 is random; its beginning is the time.
    let unique = &unique[20..];
    SignUp {
        email: format!("{}.{unique}@example.org", name.to_lowercase()),
        handle: format!("{}_{unique}", name.to_lowercase()),
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

/// People in one group, the first of them its owner.
#[derive(Clone, Debug)]
pub struct Group {
    /// Everybody.
    pub people: Vec<Person>,
    /// Where they talk.
    pub conversation: ConversationId,
    /// When it was opened.
    pub opened: Position,
}

impl Group {
    /// Makes people and their group.
    pub async fn new(url: &str, names: &[&str]) -> Result<Self> {
        let people = try_join_all(names.iter().map(|name| Person::new(url, name))).await?;
        let others: Vec<_> = people[1..].iter().map(Person::user).collect();
        let opened = people[0].session.open_group("The round table", &others).await?;
        Ok(Self { people, conversation: opened.id, opened: opened.position })
    }

    /// Everybody listens: one starts at the first address, the next one at the second.
    pub async fn listeners(&self, urls: &[&str]) -> Result<Vec<Listener>> {
        let listen = async |(index, person): (usize, &Person)| {
            let mut urls = urls.to_vec();
            let first = index % urls.len();
            urls.rotate_left(first);
            Listener::start(person.clone(), &urls).await
        };
        try_join_all(self.people.iter().enumerate().map(listen)).await
    }

    /// One message over REST, at the address where the sender logged in.
    pub async fn say(&self, index: usize, text: &str) -> Result<(MessageId, Position)> {
        let sent = self.people[index].session.send(self.conversation, text).await?;
        Ok((sent.id, sent.position))
    }
}
