//! E-mail: one letter for one notification, over SMTP (RFC 5321).

use std::time::Duration;

use anyhow::Context;
use events::NotificationId;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use service::MailSettings;

use super::Refused;

/// How long the server may take over each step.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who takes e-mail.
#[derive(Clone)]
pub(super) struct Post {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    public_url: Option<String>,
}

impl Post {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// When the URL or the sender is none.
    pub(super) fn new(settings: &MailSettings, public_url: Option<String>) -> anyhow::Result<Self> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.url)
            .context("ROUNDTABLE_SMTP_URL is no URL of an SMTP server")?
            .timeout(Some(PATIENCE))
            .build();
        let from = settings.from.parse().context("ROUNDTABLE_MAIL_FROM is no address")?;
        Ok(Self { transport, from, public_url })
    }

    /// Whom to write to about what comes from here.
    pub(super) fn contact(&self) -> String {
        format!("mailto:{}", self.from.email)
    }

    /// Sends a letter. The same notification has the same `Message-ID`, so that a server that sees
    /// it twice may know. Reasons hold the server's code alone: its words may hold the address.
    pub(super) async fn send(
        &self,
        to: &str,
        notification: NotificationId,
        line: &str,
    ) -> Result<(), Refused> {
        let to: Address = to.parse().map_err(|_| Refused::for_ever("the address is none"))?;
        let letter = self
            .letter(to, notification, line)
            .map_err(|_| Refused::for_ever("the letter cannot be written"))?;
        // Bounded as a whole too: a server may be slow at each of many steps.
        match tokio::time::timeout(3 * PATIENCE, self.transport.send(letter)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refused(&error)),
            Err(_) => Err(Refused::for_now("the mail server takes too long")),
        }
    }

    fn letter(
        &self,
        to: Address,
        notification: NotificationId,
        line: &str,
    ) -> Result<Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let mut text = format!("{line}.\r\n");
        if let Some(url) = &self.public_url {
            text += &format!("\r\n{url}\r\n");
        }
        // So that nobody's automatic answer comes back (RFC 3834).
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(line)
            .message_id(Some(format!("<{notification}@{domain}>")))
            .header(ContentType::TEXT_PLAIN)
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .body(text)
    }
}

fn refused(error: &Error) -> Refused {
    match error.status() {
        Some(code) if error.is_permanent() => {
            Refused::for_ever(format!("the mail server refuses with {code}"))
        }
        Some(code) => Refused::for_now(format!("the mail server says {code}")),
        None if error.is_timeout() => Refused::for_now("the mail server takes too long"),
        None => Refused::for_now("the mail server cannot be reached"),
    }
}
