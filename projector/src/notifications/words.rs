//! What a notification says outside of the app: who and what, never the words of a message.

use domain::session::Session;
use domain::user::User;
use event_log::{EventLog, LogError};
use events::notification::About;
use events::{StreamName, UserId};

/// The longest name that is told.
const LONGEST: usize = 80;

/// Whether it is worth an e-mail.
pub(super) const fn is_for_mail(about: About) -> bool {
    match about {
        About::FriendRequest { .. }
        | About::Message { .. }
        | About::Mention { .. }
        | About::SessionReminder { .. }
        | About::SessionCancelled { .. }
        | About::MissedCall { .. } => true,
        About::FriendAccepted { .. } | About::AddedToGroup { .. } => false,
    }
}

/// One line that says what happened.
pub(super) async fn line(log: &EventLog, about: About) -> Result<String, LogError> {
    Ok(match about {
        About::FriendRequest { from } => {
            format!("{} would like to be friends with you", name(log, from).await?)
        }
        About::FriendAccepted { by } => {
            format!("{} is friends with you now", name(log, by).await?)
        }
        About::Message { from, .. } => format!("{} wrote to you", name(log, from).await?),
        About::Mention { from, .. } => format!("{} mentioned you", name(log, from).await?),
        About::MissedCall { from, .. } => format!("{} called you", name(log, from).await?),
        About::AddedToGroup { by, .. } => {
            format!("{} added you to a group", name(log, by).await?)
        }
        About::SessionReminder { session, .. } => {
            let session = log.load::<Session>(&StreamName::session(session)).await?.state;
            format!("{} begins soon", title(&session))
        }
        About::SessionCancelled { session, .. } => {
            let session = log.load::<Session>(&StreamName::session(session)).await?.state;
            format!("{} was cancelled", title(&session))
        }
    })
}

async fn name(log: &EventLog, user: UserId) -> Result<String, LogError> {
    let known = log.load::<User>(&StreamName::user(user)).await?.state;
    let name = known.account().and_then(|account| account.name.open());
    Ok(name.map_or_else(|| "Somebody".to_owned(), |name| plain(name)))
}

fn title(session: &Session) -> String {
    let title = session.planned().and_then(|planned| planned.title.open());
    title.map_or_else(
        || "A study session".to_owned(),
        |title| format!("The study session “{}”", plain(title)),
    )
}

/// On one line, and not too long.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_add_lines() {
        assert_eq!(plain("Ada\r\nBcc: x"), "Ada  Bcc: x");
        assert_eq!(plain(&"a".repeat(300)).len(), LONGEST);
    }
}
