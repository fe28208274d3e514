//! The reads that are measured.

use anyhow::Result;

use super::library::{Library, first};
use super::words::{character, word};

/// One read.
pub(super) struct Endpoint {
    /// What it is called in the report.
    pub(super) name: &'static str,
    /// What is asked.
    pub(super) path: String,
}

/// All of them, in the order of the report.
pub(super) async fn all(library: &Library) -> Result<Vec<Endpoint>> {
    let reader = library.reader();
    let group = library.busiest()?;
    let (id, half) = (group.id, group.messages / 2);
    let message = first(reader, &format!("/v1/conversations/{id}/messages?limit=1")).await?;
    let message = message["id"].as_str().unwrap_or_default().to_owned();
    let other = library.people[1].user();
    let them: Vec<_> = library.people[1..].iter().map(|one| one.user().to_string()).collect();
    let (common, rare) = (word(0), word(15_000));
    let prefix: String = word(5000).chars().take(4).collect();
    let chinese: String = [character(0), character(1)].iter().collect();
    let rare_chinese: String = [character(700), character(900)].iter().collect();
    let last = library.last;
    let search = |words: &str| format!("/v1/search/messages?q={}", encoded(words));
    let paths = [
        ("me", "/v1/users/me".to_owned()),
        ("user", format!("/v1/users/{other}")),
        ("users_search", "/v1/users?q=bench".to_owned()),
        ("users_recommended", "/v1/users/recommended".to_owned()),
        ("friends", "/v1/friends".to_owned()),
        ("friend_requests", "/v1/friend-requests?direction=incoming".to_owned()),
        ("blocks", "/v1/blocks".to_owned()),
        ("conversations", "/v1/conversations".to_owned()),
        ("conversation", format!("/v1/conversations/{id}")),
        ("messages_newest", format!("/v1/conversations/{id}/messages")),
        ("messages_half_way", format!("/v1/conversations/{id}/messages?before={half}")),
        ("message", format!("/v1/conversations/{id}/messages/{message}")),
        ("replies", format!("/v1/conversations/{id}/messages/{message}/replies")),
        ("reactions", format!("/v1/conversations/{id}/messages/{message}/reactions")),
        ("pins", format!("/v1/conversations/{id}/pins")),
        ("mentions", "/v1/mentions".to_owned()),
        ("feed", "/v1/feed?limit=100".to_owned()),
        ("after_the_last", format!("/v1/users/me?after={last}")),
        ("notifications", "/v1/notifications".to_owned()),
        ("notifications_unread", "/v1/notifications/unread".to_owned()),
        ("presence", format!("/v1/presence?users={}", them.join(","))),
        ("study_sessions", "/v1/study-sessions".to_owned()),
        ("files", "/v1/files".to_owned()),
        ("logins", "/v1/sessions".to_owned()),
        ("search_common", search(&common)),
        ("search_rare", search(&rare)),
        ("search_prefix", search(&prefix)),
        ("search_two_words", search(&format!("{common} {}", word(3000)))),
        ("search_nothing", search("zzzzzz")),
        ("search_chinese", search(&chinese)),
        ("search_rare_chinese", search(&rare_chinese)),
        ("search_one_character", search(&character(50).to_string())),
        ("search_in_conversation", format!("{}&conversation={id}", search(&rare))),
        ("search_by_sender", format!("{}&sender={other}", search(&word(300)))),
    ];
    Ok(paths.into_iter().map(|(name, path)| Endpoint { name, path }).collect())
}

/// As a part of a query (RFC 3986).
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
