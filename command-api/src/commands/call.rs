//! One request to change something: who, with which key, and what surrounds the events it causes.

use event_log::Context;
use events::{LoginId, Moment, UserId};
use serde::Serialize;
use service::Identity;
use uuid::Uuid;

use super::Command;
use crate::App;

/// One request to change something.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Who wants it.
    pub(crate) actor: UserId,
    /// The idempotency key, in the scope of the actor.
    pub(crate) key: Uuid,
    /// When it came.
    pub(crate) now: Moment,
    body_hash: String,
    request: Uuid,
    token: Option<LoginId>,
}

impl Call {
    /// A command of somebody, as it came.
    pub(crate) fn of<C: Command>(app: &App, identity: Identity, key: Uuid, command: &C) -> Self {
        Self::new(app, identity, key, C::NAME, command)
    }

    /// A command of somebody. The name and the body tell a repeat from another command with the
    /// same key.
    pub(crate) fn new(
        app: &App,
        identity: Identity,
        key: Uuid,
        name: &'static str,
        body: &impl Serialize,
    ) -> Self {
        let token = identity.grant.map(|_| identity.login);
        Self { token, ..Self::with(app.secrets(), identity.user, key, name, body) }
    }

    /// The same of somebody who is not logged in: who signs up, or the operator.
    pub(crate) fn with(
        secrets: &event_log::Secrets,
        actor: UserId,
        key: Uuid,
        name: &'static str,
        body: &impl Serialize,
    ) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the edge, where a request begins")]
        let request = Uuid::now_v7();
        service::edge::is_command(name);
        let body_hash = body_hash(secrets, name, body);
        Self { actor, key, now: service::clock::now(), body_hash, request, token: None }
    }

    /// What surrounds the events of this command. A command that appends to one stream more than
    /// once names its steps: `context().step(name)`.
    pub(crate) fn context(&self) -> Context {
        Context {
            actor: self.actor,
            key: self.key,
            body_hash: self.body_hash.clone(),
            correlation: self.request,
            causation: self.request,
            now: self.now,
            decided_on: None,
            token: self.token,
        }
    }
}

/// The digest of a command's name and body, which stands beside its events for ever.
///
/// It is keyed with a secret of the deployment: a bare SHA-256 of a short message could be guessed
/// by whoever reads the log, even after its sender was erased. The JSON is canonical because it is
/// made from the typed body, with its keys in order.
fn body_hash(secrets: &event_log::Secrets, name: &str, body: &impl Serialize) -> String {
    let body = serde_json::to_value(body).expect("a body came from JSON");
    secrets.name_digest("body", &format!("{name} {body}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_digest_tells_bodies_names_and_deployments_apart_but_not_the_order_of_keys() {
        let secrets = |n| event_log::Secrets { master: [0; 32], deployment: [n; 32] };
        let digest = |n, name, body: serde_json::Value| body_hash(&secrets(n), name, &body);
        let first = digest(1, "a", json!({"x": 1, "y": 2}));
        assert_eq!(first, digest(1, "a", json!({"y": 2, "x": 1})));
        assert_eq!(first.len(), 64);
        for other in [
            digest(1, "a", json!({"x": 1, "y": 3})),
            digest(1, "b", json!({"x": 1, "y": 2})),
            digest(2, "a", json!({"x": 1, "y": 2})),
        ] {
            assert_ne!(first, other);
        }
    }
}
