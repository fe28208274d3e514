//! A webhook: an address elsewhere that is told of what its owner may see, until it fails for too long
//! or its owner may not see it any more.

#[cfg(test)]
mod tests;

use events::serde::Serialize;
use events::webhook::{DisableReason, Salt};
use events::{ConversationId, Moment, Personal, Position, UserId, WebhookEvent, WebhookId};
use thiserror::Error;

use crate::Decider;

/// How many types a webhook may name.
pub const MAX_TYPES: usize = 50;

/// What is known of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde", rename_all = "snake_case")]
pub enum Webhook {
    /// There is none.
    #[default]
    None,
    /// There is one.
    There(Hook),
    /// There was one.
    Removed {
        /// Whose it was.
        owner: UserId,
    },
}

/// A webhook that was not removed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Hook {
    /// Its id.
    pub webhook: WebhookId,
    /// Whose it is.
    pub owner: UserId,
    /// Of which conversation it is told; of everything where there is none.
    pub conversation: Option<ConversationId>,
    /// Where to.
    pub url: Personal<String>,
    /// Which types; all where there is none.
    pub types: Vec<String>,
    /// What its secret is derived from.
    #[serde(skip)]
    pub salt: Salt,
    /// What the secret before is derived from, and until when that one signs as well.
    #[serde(skip)]
    pub before: Option<(Salt, Moment)>,
    /// Why it is told of nothing, where it is not.
    pub disabled: Option<DisableReason>,
    /// How often a replay was wanted.
    pub replays: u32,
    /// After which position the last one begins.
    pub replay_from: Position,
}

impl Webhook {
    /// The webhook, while there is one.
    pub const fn hook(&self) -> Option<&Hook> {
        match self {
            Self::There(hook) => Some(hook),
            Self::None | Self::Removed { .. } => None,
        }
    }
}

impl Hook {
    /// Whether it is told of events of this type.
    pub fn wants(&self, event_type: &str) -> bool {
        let is = |wanted: &String| match wanted.strip_suffix('*') {
            Some(category) => event_type.starts_with(category),
            None => wanted == event_type,
        };
        self.types.is_empty() || self.types.iter().any(is)
    }
}

/// What is done to a webhook.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make it.
    Create {
        /// The new id.
        webhook: WebhookId,
        /// Who wants it.
        owner: UserId,
        /// Of which conversation; of everything where there is none.
        conversation: Option<ConversationId>,
        /// Whether they run that conversation, or the platform.
        runs: bool,
        /// Where to: checked by the edge, which knows what a URL is.
        url: String,
        /// Which types; all where there is none.
        types: Vec<String>,
        /// What its secret is to be derived from.
        salt: Salt,
    },
    /// Send it elsewhere, or something else.
    Change {
        /// Who wants it.
        by: Person,
        /// Where to.
        url: Option<String>,
        /// Which types.
        types: Option<Vec<String>>,
    },
    /// Switch it on or off.
    Switch {
        /// Who wants it.
        by: Person,
        /// On.
        on: bool,
    },
    /// Give it a new secret.
    Rotate {
        /// Who wants it.
        by: Person,
        /// What that is to be derived from.
        salt: Salt,
        /// Until when the old one signs as well.
        overlap_until: Moment,
    },
    /// Tell it again what comes after a position.
    Replay {
        /// Who wants it.
        by: Person,
        /// The position.
        from: Position,
    },
    /// Tell it something, to see whether it works.
    Test {
        /// Who wants it.
        by: Person,
    },
    /// Remove it.
    Remove {
        /// Who wants it.
        by: Person,
    },
    /// It failed for good, or its owner lost their rights.
    Disable {
        /// Why.
        reason: DisableReason,
    },
}

/// Somebody who does something to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// Whether they run the webhook's conversation, or the platform: they may stop what others made.
    pub runs: bool,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The id was used before.
    #[error("this webhook exists already")]
    AlreadyCreated,
    /// There is none that this person may know of.
    #[error("this webhook does not exist")]
    NoSuchWebhook,
    /// Only those who run a conversation make webhooks for it.
    #[error("only those who run what it tells of may make a webhook")]
    NotAllowed,
    /// Those who run the conversation may stop it; the rest is its owner's.
    #[error("only its owner may do this to a webhook")]
    NotOwner,
    /// A type that is none.
    #[error("types are names as message.sent, or message.*")]
    InvalidType,
    /// Too many types.
    #[error("a webhook names at most 50 types")]
    TooManyTypes,
    /// It is told of nothing.
    #[error("the webhook is disabled")]
    Disabled,
}

impl Decider for Webhook {
    type Command = Command;
    type Event = WebhookEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<WebhookEvent>, Rejection> {
        if let Command::Create { webhook, owner, conversation, runs, url, types, salt } = command {
            if *self != Self::None {
                return Err(Rejection::AlreadyCreated);
            }
            if !runs {
                return Err(Rejection::NotAllowed);
            }
            check(types)?;
            return Ok(vec![WebhookEvent::Created {
                webhook: *webhook,
                owner: *owner,
                conversation: *conversation,
                url: Personal::new(*owner, url.clone()),
                types: types.clone(),
                salt: *salt,
            }]);
        }
        match (self, command) {
            (Self::There(hook), _) => hook.decide(command),
            (Self::Removed { owner }, Command::Remove { by }) if by.user == *owner => Ok(vec![]),
            (Self::Removed { .. } | Self::None, _) => Err(Rejection::NoSuchWebhook),
        }
    }

    fn evolve(self, event: &WebhookEvent) -> Self {
        if let WebhookEvent::Created { webhook, owner, conversation, url, types, salt } = event {
            return Self::There(Hook {
                webhook: *webhook,
                owner: *owner,
                conversation: *conversation,
                url: url.clone(),
                types: types.clone(),
                salt: *salt,
                before: None,
                disabled: None,
                replays: 0,
                replay_from: Position::START,
            });
        }
        match self {
            Self::There(hook) => hook.evolve(event),
            Self::None | Self::Removed { .. } => self,
        }
    }
}

impl Hook {
    fn decide(&self, command: &Command) -> Result<Vec<WebhookEvent>, Rejection> {
        let (webhook, owner) = (self.webhook, self.owner);
        match command {
            Command::Create { .. } => Err(Rejection::AlreadyCreated),
            Command::Change { by, url, types } => {
                self.must_own(*by)?;
                check(types.as_deref().unwrap_or_default())?;
                let url = url.as_ref().filter(|url| self.url.open() != Some(*url));
                let types = types.as_ref().filter(|types| **types != self.types);
                if url.is_none() && types.is_none() {
                    return Ok(vec![]);
                }
                let url = url.map(|url| Personal::new(owner, url.clone()));
                let types = types.cloned();
                Ok(vec![WebhookEvent::Changed { webhook, owner, by: by.user, url, types }])
            }
            Command::Switch { by, on: true } => {
                self.must_own(*by)?;
                let enabled = WebhookEvent::Enabled { webhook, owner, by: by.user };
                Ok(if self.disabled.is_some() { vec![enabled] } else { vec![] })
            }
            Command::Switch { by, on: false } => {
                self.must_run(*by)?;
                Ok(self.disable(DisableReason::Asked))
            }
            Command::Rotate { by, salt, overlap_until } => {
                self.must_own(*by)?;
                let (by, salt, overlap_until) = (by.user, *salt, *overlap_until);
                Ok(vec![WebhookEvent::SecretRotated { webhook, owner, by, salt, overlap_until }])
            }
            Command::Replay { by, from } => {
                self.must_own(*by)?;
                self.must_be_on()?;
                Ok(vec![WebhookEvent::Replayed { webhook, owner, by: by.user, from: *from }])
            }
            Command::Test { by } => {
                self.must_own(*by)?;
                self.must_be_on()?;
                Ok(vec![WebhookEvent::Tested { webhook, owner, by: by.user }])
            }
            Command::Remove { by } => {
                self.must_run(*by)?;
                Ok(vec![WebhookEvent::Removed { webhook, owner, by: by.user }])
            }
            Command::Disable { reason } => Ok(self.disable(*reason)),
        }
    }

    fn evolve(mut self, event: &WebhookEvent) -> Webhook {
        match event {
            WebhookEvent::Created { .. } | WebhookEvent::Tested { .. } => {}
            WebhookEvent::Changed { url, types, .. } => {
                self.url = url.clone().unwrap_or(self.url);
                self.types = types.clone().unwrap_or(self.types);
            }
            WebhookEvent::SecretRotated { salt, overlap_until, .. } => {
                self.before = Some((self.salt, *overlap_until));
                self.salt = *salt;
            }
            WebhookEvent::Disabled { reason, .. } => self.disabled = Some(*reason),
            WebhookEvent::Enabled { .. } => self.disabled = None,
            WebhookEvent::Replayed { from, .. } => {
                self.replays += 1;
                self.replay_from = *from;
            }
            WebhookEvent::Removed { owner, .. } => return Webhook::Removed { owner: *owner },
        }
        Webhook::There(self)
    }

    fn disable(&self, reason: DisableReason) -> Vec<WebhookEvent> {
        let (webhook, owner) = (self.webhook, self.owner);
        match self.disabled {
            Some(_) => vec![],
            None => vec![WebhookEvent::Disabled { webhook, owner, reason }],
        }
    }

    fn must_run(&self, by: Person) -> Result<(), Rejection> {
        if by.user == self.owner || by.runs { Ok(()) } else { Err(Rejection::NoSuchWebhook) }
    }

    fn must_own(&self, by: Person) -> Result<(), Rejection> {
        self.must_run(by)?;
        // Nobody (the nil UUID) is the operator of the deployment, who has its keys anyway.
        let may = by.user == self.owner || by.user.uuid().is_nil();
        if may { Ok(()) } else { Err(Rejection::NotOwner) }
    }

    fn must_be_on(&self) -> Result<(), Rejection> {
        if self.disabled.is_none() { Ok(()) } else { Err(Rejection::Disabled) }
    }
}

fn check(types: &[String]) -> Result<(), Rejection> {
    if types.len() > MAX_TYPES {
        return Err(Rejection::TooManyTypes);
    }
    let word = |text: &str| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
    };
    let good = |name: &String| {
        name.split_once('.')
            .is_some_and(|(category, rest)| word(category) && (word(rest) || rest == "*"))
    };
    if types.iter().all(good) { Ok(()) } else { Err(Rejection::InvalidType) }
}
