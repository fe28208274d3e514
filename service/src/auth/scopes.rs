//! What an API token needs for each route and each command of the gateway: the one table.

use events::Scope::{
    self, Admin, CallsRead, CallsWrite, ConversationsRead, ConversationsWrite, EventsRead,
    FilesRead, FilesWrite, FriendsRead, FriendsWrite, MessagesRead, MessagesWrite, Moderation,
    NotificationsRead, NotificationsWrite, Presence, ProfileRead, ProfileWrite, ReportsWrite,
    StudyRead, StudyWrite, WebhooksRead, WebhooksWrite,
};
use http::Method;

use self::Need::{Anybody, Never, Of};

/// What it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A token with this scope.
    Of(Scope),
    /// Nothing: nobody is asked who they are, or something other than a token says so.
    Anybody,
    /// No token is enough: this takes a person who logged in.
    Never,
}

/// What the paths of administrators begin with.
const ADMIN: &str = "/v1/admin/";

/// A row: what it takes, for which routes, and for which commands.
type Row = (Need, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (Of(ProfileRead), &[
        "GET /v1/users", "GET /v1/users/me", "GET /v1/users/me/standing", "GET /v1/users/recommended",
        "GET /v1/users/{id}",
    ], &[]),
    (Of(ProfileWrite), &["PATCH /v1/users/me", "POST /v1/users/me/onboarding"],
        &["user.change_profile", "user.complete_onboarding"]),
    (Of(FriendsRead), &["GET /v1/friends", "GET /v1/friend-requests", "GET /v1/blocks"], &[]),
    (Of(FriendsWrite), &[
        "POST /v1/friend-requests", "DELETE /v1/friend-requests/{user}",
        "POST /v1/friend-requests/{user}/accept", "POST /v1/friend-requests/{user}/decline",
        "DELETE /v1/friends/{user}", "PUT /v1/blocks/{user}", "DELETE /v1/blocks/{user}",
    ], &[
        "friendship.request", "friendship.accept", "friendship.decline", "friendship.cancel",
        "friendship.remove", "friendship.block", "friendship.unblock",
    ]),
    (Of(ConversationsRead), &[
        "GET /v1/conversations", "GET /v1/conversations/{id}", "GET /v1/conversations/{id}/bans",
        "GET /v1/conversations/{id}/invites",
        "GET /v1/invites/{code}",
    ], &[]),
    (Of(ConversationsWrite), &[
        "POST /v1/conversations", "PATCH /v1/conversations/{id}",
        "PUT /v1/conversations/{id}/bans/{user}", "DELETE /v1/conversations/{id}/bans/{user}",
        "POST /v1/conversations/{id}/invites", "DELETE /v1/conversations/{id}/invites/{invite}",
        "PUT /v1/conversations/{id}/members/{user}", "DELETE /v1/conversations/{id}/members/{user}",
        "PUT /v1/conversations/{id}/members/{user}/role", "POST /v1/conversations/{id}/owner",
        "PUT /v1/conversations/{id}/pins/{message}", "DELETE /v1/conversations/{id}/pins/{message}",
        "POST /v1/invites/{code}/join",
    ], &[
        "conversation.open_direct", "conversation.open_group", "conversation.add_member",
        "conversation.remove_member", "conversation.ban", "conversation.unban",
        "conversation.change_settings", "conversation.change_role",
        "conversation.transfer_ownership", "conversation.make_invite",
        "conversation.revoke_invite", "conversation.join", "conversation.pin", "conversation.unpin",
    ]),
    (Of(MessagesRead), &[
        "GET /v1/conversations/{id}/messages", "GET /v1/conversations/{id}/messages/{message}",
        "GET /v1/conversations/{id}/messages/{message}/edits",
        "GET /v1/conversations/{id}/messages/{message}/reactions",
        "GET /v1/conversations/{id}/messages/{message}/replies",
        "GET /v1/conversations/{id}/pins",
        "GET /v1/mentions", "GET /v1/search/messages",
    ], &[]),
    (Of(MessagesWrite), &[
        "POST /v1/conversations/{id}/messages", "PATCH /v1/conversations/{id}/messages/{message}",
        "DELETE /v1/conversations/{id}/messages/{message}",
        "PUT /v1/conversations/{id}/messages/{message}/reactions/{emoji}",
        "DELETE /v1/conversations/{id}/messages/{message}/reactions/{emoji}",
        "PUT /v1/conversations/{id}/receipts",
    ], &[
        "message.send", "message.edit", "message.delete", "message.react", "message.unreact",
        "message.delivered", "message.read", "typing",
    ]),
    (Of(FilesRead), &[
        "GET /v1/files", "GET /v1/files/{file}", "GET /v1/files/{file}/content",
        "GET /v1/files/{file}/thumbnails/{size}",
    ], &[]),
    (Of(FilesWrite), &["POST /v1/files", "DELETE /v1/files/{file}"], &["file.remove"]),
    (Of(StudyRead), &[
        "GET /v1/study-sessions", "GET /v1/study-sessions/{id}",
        "GET /v1/study-sessions/{id}/whiteboard",
    ], &[]),
    (Of(StudyWrite), &[
        "POST /v1/study-sessions", "PATCH /v1/study-sessions/{id}",
        "POST /v1/study-sessions/{id}/cancel", "POST /v1/study-sessions/{id}/complete",
        "POST /v1/study-sessions/{id}/join", "POST /v1/study-sessions/{id}/leave",
        "POST /v1/study-sessions/{id}/start",
        "DELETE /v1/study-sessions/{id}/participants/{user}",
        "DELETE /v1/study-sessions/{id}/whiteboard",
        "PUT /v1/study-sessions/{id}/whiteboard/{element}",
        "DELETE /v1/study-sessions/{id}/whiteboard/{element}",
    ], &[
        "study.schedule", "study.change", "study.start", "study.complete", "study.cancel",
        "study.join", "study.leave", "study.remove", "whiteboard.draw", "whiteboard.erase",
        "whiteboard.clear",
    ]),
    (Of(CallsRead), &[
        "GET /v1/calls", "GET /v1/calls/{id}", "GET /v1/calls/{id}/recordings",
        "GET /v1/conversations/{id}/call",
    ], &[]),
    (Of(CallsWrite), &[
        "POST /v1/calls", "POST /v1/calls/{id}/accept", "POST /v1/calls/{id}/cancel",
        "PUT /v1/calls/{id}/consent", "POST /v1/calls/{id}/consent-request",
        "POST /v1/calls/{id}/decline", "POST /v1/calls/{id}/end", "POST /v1/calls/{id}/fail",
        "POST /v1/calls/{id}/join", "POST /v1/calls/{id}/leave", "POST /v1/calls/{id}/move",
        "POST /v1/calls/{id}/recordings", "POST /v1/calls/{id}/recordings/{recording}/stop",
        "POST /v1/calls/{id}/ring", "POST /v1/calls/{id}/ticket", "PATCH /v1/calls/{id}/toggles",
        "POST /v1/calls/{id}/video", "GET /v1/ice-servers",
    ], &[
        "call.start", "call.accept", "call.join", "call.decline", "call.cancel", "call.leave",
        "call.fail", "call.end", "call.toggle", "call.add_video", "call.ring", "call.move",
        "call.ask_consent", "call.consent", "call.start_recording", "call.stop_recording",
        "signal", "signals",
    ]),
    (Of(NotificationsRead), &["GET /v1/notifications", "GET /v1/notifications/unread"], &[]),
    (Of(NotificationsWrite), &["PUT /v1/notifications/read", "PUT /v1/notifications/{id}/read"],
        &["notification.read", "notification.read_all"]),
    (Of(Presence), &["GET /v1/presence"], &["presence"]),
    (Of(EventsRead), &["GET /v1/feed", "GET /v1/gateway"], &[]),
    (Of(WebhooksRead), &[
        "GET /v1/webhooks", "GET /v1/webhooks/{id}", "GET /v1/webhooks/{id}/deliveries",
    ], &[]),
    (Of(WebhooksWrite), &["DELETE /v1/webhooks/{id}", "POST /v1/webhooks/{id}/test"],
        &["webhook.remove", "webhook.test"]),
    (Of(ReportsWrite), &["POST /v1/reports"], &["report.file"]),
    (Of(Moderation), &[
        "GET /v1/reports", "GET /v1/reports/{id}", "PUT /v1/reports/{id}/resolution",
        "GET /v1/suspensions", "GET /v1/users/{id}/standing", "PUT /v1/users/{id}/suspension",
        "DELETE /v1/users/{id}/suspension",
    ], &["report.resolve", "user.suspend", "user.reinstate"]),
    (Of(Admin), &[
        "GET /v1/holds", "POST /v1/holds", "POST /v1/holds/release", "GET /v1/users/{id}/erasure",
    ], &["hold.place", "hold.release", "parked.retry", "parked.skip"]),
    (Anybody, &[
        "GET /.well-known/jwks.json", "GET /v1/avatars/presets", "GET /v1/avatars/presets/{file}",
        "POST /v1/users", "POST /v1/sessions", "POST /v1/sessions/refresh", "GET /v1/sfu",
        "POST /v1/whep/{call}", "PATCH /v1/whep/{call}/{session}",
        "DELETE /v1/whep/{call}/{session}", "POST /v1/whip/{call}",
        "PATCH /v1/whip/{call}/{session}", "DELETE /v1/whip/{call}/{session}",
    ], &["auth", "resume", "ping"]),
    // What would give a token more than it has, or outlive it; and what makes others powerful.
    (Never, &[
        "GET /v1/api-tokens", "POST /v1/api-tokens", "DELETE /v1/api-tokens/{id}",
        "GET /v1/sessions", "DELETE /v1/sessions", "DELETE /v1/sessions/current",
        "DELETE /v1/sessions/{login}", "PUT /v1/users/me/password", "PUT /v1/users/{id}/role",
        "PUT /v1/users/{id}/erasure",
        "PUT /v1/push-subscriptions", "GET /v1/push-subscriptions/key",
        "DELETE /v1/push-subscriptions/{id}",
        "POST /v1/webhooks", "PATCH /v1/webhooks/{id}", "POST /v1/webhooks/{id}/secret",
        "POST /v1/webhooks/{id}/replay",
    ], &[
        "token.make", "token.revoke", "session.close", "session.revoke", "session.revoke_others",
        "user.change_password", "user.change_role", "user.erase", "push.subscribe", "push.unsubscribe",
        "webhook.create", "webhook.change", "webhook.rotate_secret", "webhook.replay",
    ]),
];

impl Need {
    /// What it takes for a route, by its method and the template of its path. A route that nobody
    /// thought of takes a person.
    pub fn of_route(method: &Method, path: &str) -> Self {
        // To look at the head of something is to read it.
        let method = if method == Method::HEAD { Method::GET.as_str() } else { method.as_str() };
        let is = |route: &&str| route.split_once(' ') == Some((method, path));
        let row = TABLE.iter().find(|(_, routes, _)| routes.iter().any(is));
        match row {
            Some((need, ..)) => *need,
            None if path.starts_with(ADMIN) => Of(Admin),
            None => Never,
        }
    }

    /// What it takes for a command, or another frame, of the gateway.
    pub fn of_command(name: &str) -> Self {
        let row = TABLE.iter().find(|(_, _, commands)| commands.contains(&name));
        row.map_or(Never, |(need, ..)| *need)
    }

    /// Whether somebody thought of a route.
    pub fn knows_route(method: &str, path: &str) -> bool {
        path.starts_with(ADMIN) || Self::routes().any(|it| it == (method, path))
    }

    /// All routes of the table.
    pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
        let routes = TABLE.iter().flat_map(|(_, routes, _)| routes.iter());
        routes.map(|route| route.split_once(' ').expect("a method and a path"))
    }

    /// All commands, and other frames, of the table.
    pub fn commands() -> impl Iterator<Item = &'static str> {
        TABLE.iter().flat_map(|(_, _, commands)| commands.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_in_the_table_twice_and_what_is_not_takes_a_person() {
        let (mut seen, all) = (BTreeSet::new(), Need::routes().map(|(m, p)| format!("{m} {p}")));
        for name in all.chain(Need::commands().map(str::to_owned)) {
            assert!(seen.insert(name.clone()), "{name}");
        }
        assert_eq!(Need::of_route(&Method::GET, "/v1/friends"), Of(FriendsRead));
        assert_eq!(Need::of_route(&Method::HEAD, "/v1/friends"), Of(FriendsRead));
        assert_eq!(Need::of_route(&Method::POST, "/v1/friends"), Never);
        assert_eq!(Need::of_route(&Method::DELETE, "/v1/admin/{id}"), Of(Admin));
        assert_eq!(Need::of_command("message.send"), Of(MessagesWrite));
        assert_eq!(Need::of_command("whatever.comes"), Never);
    }

    #[test]
    fn every_scope_is_good_for_something() {
        for scope in Scope::ALL {
            let used = TABLE.iter().any(|(need, ..)| *need == Of(*scope)) || *scope == Admin;
            assert!(used, "{scope}");
        }
    }
}
