//! Which cached lists an event makes stale: the one table of them, and the names of their keys.
//!
//! What query-api caches (query-api, `cache.rs`), and for how long: `friends:{user}` 600 s,
//! `friend_requests:in:{user}` and `friend_requests:out:{user}` 120 s, `recommended:{user}` 300 s.
//! The lists hold ids and times; names and pictures are read beside them each time, so no list
//! grows old when somebody is called otherwise.
//!
//! | Command | Event | Deleted, of whoever acts (A) and of the other (B) |
//! | --- | --- | --- |
//! | `friendship.request` | requested | `out:A` `in:B`, `recommended:` of both |
//! | `friendship.request`, crossing; `friendship.accept` | accepted | `friends:` of both, `in:A` `out:B`, `recommended:` of both |
//! | `friendship.decline` | declined | `in:A` `out:B`, `recommended:` of both |
//! | `friendship.cancel` | cancelled | `out:A` `in:B`, `recommended:` of both |
//! | `friendship.remove` | removed | `friends:` and `recommended:` of both |
//! | `friendship.block` | blocked | `friends:`, `in:`, `out:` and `recommended:` of both |
//! | `friendship.unblock` | unblocked | `recommended:` of both |
//! | `user.change_profile`, `user.complete_onboarding` | profile_changed | `recommended:A`, if a language or the place is another |
//! | the same without such a change; sign-up; `user.complete_onboarding` alone | | nothing |
//! | everything else | | nothing |
//!
//! A command that had no effect appends no event, and deletes nothing.
//!
//! A block deletes whatever it may have ended: the event does not say what there was, and a key that
//! depends on the rows that were there would be forgotten when a batch is applied again.
//!
//! An acceptance changes nobody's recommendations, as whoever asked was left out before. But
//! `friend_request` and `friend_list` get there one after the other, and who reads between the two
//! would cache a list in which the new friend is recommended: the mark refuses that list.
//!
//! What others do with their own profile, that they signed up, are suspended or come back, is not
//! told to everybody's recommendations: those age (300 s). Whoever is suspended or erased, or blocks
//! the reader, is left out of a cached list whenever it is read.

use events::UserId;

/// The lists of friends of two people.
pub(crate) fn friends(pair: [UserId; 2]) -> impl Iterator<Item = String> {
    pair.into_iter().map(|user| format!("friends:{user}"))
}

/// The lists in which a request is.
pub(crate) fn request(from: UserId, to: UserId) -> impl Iterator<Item = String> {
    [format!("friend_requests:out:{from}"), format!("friend_requests:in:{to}")].into_iter()
}

/// The people recommended to one.
pub(crate) fn recommended(user: UserId) -> String {
    format!("recommended:{user}")
}

/// The people recommended to each of two.
pub(crate) fn recommended_to_both(pair: [UserId; 2]) -> impl Iterator<Item = String> {
    pair.into_iter().map(recommended)
}
