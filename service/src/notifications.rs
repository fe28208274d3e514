//! What is told to whoever delivers notifications.

use std::fmt;
use std::time::Duration;

use crate::ConfigError;

const SMTP: &str = "ROUNDTABLE_SMTP_URL";
const FROM: &str = "ROUNDTABLE_MAIL_FROM";
const AFTER: &str = "ROUNDTABLE_NOTIFY_AFTER";
const PRIVATE: &str = "ROUNDTABLE_PUSH_PRIVATE";

/// How people are reached who do not look.
#[derive(Clone)]
pub struct NotificationSettings {
    /// `ROUNDTABLE_SMTP_URL` and `ROUNDTABLE_MAIL_FROM`; without them nobody gets e-mail.
    pub mail: Option<MailSettings>,
    /// `ROUNDTABLE_PUBLIC_URL`: where people come to read what they were told of.
    pub public_url: Option<String>,
    /// `ROUNDTABLE_NOTIFY_AFTER`: so long a notification may come to a connected device before it
    /// is sent in other ways; 30 seconds by default.
    pub after: Duration,
    /// How long after the first failure it is tried again. Each further rest is four times as
    /// long, up to an hour.
    pub first_rest: Duration,
    /// How often it is tried on one way, before it is given up.
    pub attempts: u16,
    /// `ROUNDTABLE_PUSH_PRIVATE`: web push goes to addresses of private networks too, and without
    /// TLS; false by default.
    pub push_private: bool,
}

/// Who takes e-mail, and from whom.
#[derive(Clone)]
pub struct MailSettings {
    /// `smtps://user:password@host`, or `smtp://host:25` with `?tls=required` or
    /// `?tls=opportunistic`.
    pub url: String,
    /// `Roundtable <no-reply@example.org>`.
    pub from: String,
}

impl Default for NotificationSettings {
    fn default() -> Self {
        Self {
            mail: None,
            public_url: None,
            after: Duration::from_secs(30),
            first_rest: Duration::from_secs(15),
            attempts: 6,
            push_private: false,
        }
    }
}

/// Shows no URL, because URLs hold passwords.
impl fmt::Debug for NotificationSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationSettings")
            .field("mail", &self.mail.is_some())
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl NotificationSettings {
    /// Reads the variables.
    ///
    /// # Errors
    /// When one is wrong, or one of the two for e-mail is missing.
    pub(crate) fn read(optional: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let after = match optional(AFTER) {
            None => Self::default().after,
            Some(text) => {
                let expected = "a number of seconds from 0 to 3600";
                let seconds = text.trim().parse().ok().filter(|seconds| *seconds <= 3600);
                Duration::from_secs(seconds.ok_or(ConfigError::Wrong { name: AFTER, expected })?)
            }
        };
        let push_private = match optional(PRIVATE).as_deref().map(str::trim) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                return Err(ConfigError::Wrong { name: PRIVATE, expected: "true or false" });
            }
        };
        let public_url = optional("ROUNDTABLE_PUBLIC_URL");
        Ok(Self { mail: mail(&optional)?, public_url, after, push_private, ..Self::default() })
    }
}

fn mail(optional: impl Fn(&str) -> Option<String>) -> Result<Option<MailSettings>, ConfigError> {
    match (optional(SMTP), optional(FROM)) {
        (None, None) => Ok(None),
        (Some(url), Some(from)) => {
            if !url.starts_with("smtp://") && !url.starts_with("smtps://") {
                let expected = "an smtp:// or smtps:// URL";
                return Err(ConfigError::Wrong { name: SMTP, expected });
            }
            if !from.contains('@') {
                return Err(ConfigError::Wrong { name: FROM, expected: "an address" });
            }
            Ok(Some(MailSettings { url, from }))
        }
        (None, Some(_)) => {
            let meaning = "the server that takes e-mail, as ROUNDTABLE_MAIL_FROM is set";
            Err(ConfigError::Missing { name: SMTP, meaning })
        }
        (Some(_), None) => {
            let meaning = "whom e-mail is from, as ROUNDTABLE_SMTP_URL is set";
            Err(ConfigError::Missing { name: FROM, meaning })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &[(&str, &str)]) -> Result<NotificationSettings, ConfigError> {
        NotificationSettings::read(|asked| {
            said.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_a_server_there_is_no_mail_and_with_one_it_has_a_sender() {
        assert!(read(&[]).unwrap().mail.is_none());
        let smtp = (SMTP, "smtp://u:secret-word@mail.example");
        let from = (FROM, "Roundtable <a@b.example>");
        let both = read(&[smtp, from, (AFTER, "5")]).unwrap();
        assert_eq!(both.after, Duration::from_secs(5));
        assert!(!format!("{both:?}").contains("secret-word"));
        assert_eq!(both.mail.unwrap().from, "Roundtable <a@b.example>");
        for (said, name) in [
            (vec![smtp], FROM),
            (vec![from], SMTP),
            (vec![(SMTP, "mail.example"), from], SMTP),
            (vec![smtp, (FROM, "Roundtable")], FROM),
            (vec![(AFTER, "soon")], AFTER),
            (vec![(AFTER, "3601")], AFTER),
            (vec![(PRIVATE, "perhaps")], PRIVATE),
        ] {
            assert!(read(&said).unwrap_err().to_string().starts_with(name), "{said:?}");
        }
    }
}
