//! The browsers of a person that get notifications by web push (RFC 8030).

use events::{PushId, UserEvent};

use super::Rejection;
use super::account::{Account, Decision};

/// How many browsers of one person get notifications.
pub const MAX_SUBSCRIPTIONS: usize = 10;

/// 65 bytes of an uncompressed point, in base64url without padding.
const KEY_CHARACTERS: usize = 87;

/// 16 bytes, in base64url without padding.
const SECRET_CHARACTERS: usize = 22;

fn is_base64url(text: &str, characters: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() == characters && text.bytes().all(is_digit)
}

fn is_endpoint(url: &str) -> bool {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    url.len() <= 2048 && !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Account {
    pub(super) fn subscribe(
        &self,
        push: PushId,
        endpoint: &str,
        p256dh: &str,
        auth: &str,
    ) -> Decision {
        let keys = is_base64url(p256dh, KEY_CHARACTERS) && is_base64url(auth, SECRET_CHARACTERS);
        if !keys || !is_endpoint(endpoint) {
            return Err(Rejection::InvalidSubscription);
        }
        let known = self.subscriptions.get(&push);
        let same = known.is_some_and(|it| {
            let now = [&it.endpoint, &it.p256dh, &it.auth].map(|text| text.open());
            now.map(|text| text.map(String::as_str)) == [endpoint, p256dh, auth].map(Some)
        });
        if same {
            return Ok(vec![]);
        }
        if known.is_none() && self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(Rejection::TooManySubscriptions);
        }
        let [endpoint, p256dh, auth] = [endpoint, p256dh, auth].map(|text| self.personal(text));
        Ok(vec![UserEvent::PushSubscribed { user: self.user, push, endpoint, p256dh, auth }])
    }

    pub(super) fn unsubscribe(&self, push: PushId) -> Decision {
        if !self.subscriptions.contains_key(&push) {
            return Ok(vec![]);
        }
        Ok(vec![UserEvent::PushUnsubscribed { user: self.user, push }])
    }
}
