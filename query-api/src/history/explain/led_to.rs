//! Which projections read the events of a category.

use events::Category;

/// The projections that read events of a category, by their names; a test of the program compares
/// it with what they say themselves.
pub const fn projections(category: Category) -> &'static [&'static str] {
    match category {
        Category::User => &[
            "change_feed",
            "erasure",
            "event_index",
            "file",
            "notification_log",
            "standing",
            "user_profile",
        ],
        Category::Login => &["api_token", "change_feed", "event_index", "login"],
        Category::Friendship => &[
            "block",
            "change_feed",
            "event_index",
            "friend_list",
            "friend_request",
            "friendship_interval",
            "timer",
        ],
        Category::Conversation => &[
            "change_feed",
            "conversation",
            "conversation_ban",
            "event_index",
            "invite",
            "member",
            "message",
            "pin",
            "read_cursor",
            "timer",
        ],
        Category::Message => &[
            "change_feed",
            "conversation",
            "event_index",
            "file",
            "mention",
            "message",
            "message_search",
            "pin",
            "reaction",
            "read_cursor",
        ],
        Category::Receipt => &["change_feed", "event_index", "read_cursor"],
        Category::Session => &["change_feed", "event_index", "study_session", "timer"],
        Category::Whiteboard => &["change_feed", "event_index", "whiteboard"],
        Category::File => &["change_feed", "event_index", "file", "file_removal", "recording"],
        Category::Notification => &["change_feed", "event_index", "notification_log"],
        Category::Report => &["change_feed", "event_index", "report"],
        Category::Call => {
            &["call_history", "change_feed", "event_index", "message", "recording", "timer"]
        }
        Category::Hold => &["change_feed", "event_index", "legal_hold"],
        Category::Webhook => &["change_feed", "event_index", "webhook"],
        Category::Email
        | Category::Handle
        | Category::Denial
        | Category::Line
        | Category::Access
        | Category::Parked => &["change_feed", "event_index"],
    }
}
