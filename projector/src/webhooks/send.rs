//! One delivery: a signed request to an address that anybody may have named.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta};
use events::Moment;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use service::clock;
use service::webhooks::{Secret, address};

use crate::notifications::reach::PublicOnly;

/// How long a receiver may take until it has answered.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a receiver may put us off.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);

/// The way to receivers.
pub(super) struct Sender {
    client: Client,
    private: bool,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sent {
    /// It was taken.
    Taken(StatusCode),
    /// The receiver is gone for good.
    Gone(StatusCode),
    /// It was not.
    Refused {
        /// What was answered, if anything.
        status: Option<StatusCode>,
        /// For people to read.
        reason: String,
        /// When to come again, if the receiver said so.
        after: Option<Moment>,
    },
}

impl Sender {
    /// A client that follows nobody elsewhere, and goes to no private network unless told to.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new(private: bool) -> anyhow::Result<Self> {
        service::tls::prepare();
        let client = Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE / 2)
            .pool_max_idle_per_host(1)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent("Roundtable-Webhooks/1")
            .https_only(!private);
        let client = match private {
            true => client,
            false => client.dns_resolver(Arc::new(PublicOnly)),
        };
        Ok(Self { client: client.build().context("TLS for webhooks")?, private })
    }

    /// Sends a body, signed with each secret. The answer's body is not read.
    pub(super) async fn send(
        &self,
        url: &str,
        id: &str,
        secrets: &[Secret],
        now: Moment,
        body: Vec<u8>,
    ) -> Sent {
        let Some(url) = address(url, self.private) else {
            return refused("the address is not on the public net");
        };
        let timestamp = now.timestamp();
        let signatures: Vec<_> =
            secrets.iter().map(|secret| secret.sign(id, timestamp, &body)).collect();
        let answer = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(body)
            .send()
            .await;
        match answer {
            Ok(answer) => of_answer(answer.status(), answer.headers(), clock::now()),
            Err(error) if error.is_timeout() => refused("the receiver takes too long"),
            Err(error) if error.is_connect() => refused("the receiver cannot be reached"),
            Err(_) => refused("the receiver broke off"),
        }
    }
}

fn refused(reason: &str) -> Sent {
    Sent::Refused { status: None, reason: reason.to_owned(), after: None }
}

fn of_answer(status: StatusCode, headers: &HeaderMap, now: Moment) -> Sent {
    if status.is_success() {
        return Sent::Taken(status);
    }
    if status == StatusCode::GONE {
        return Sent::Gone(status);
    }
    let code = status.as_u16();
    let reason = match status.is_redirection() {
        true => format!("the receiver says {code}, and redirects are not followed"),
        false => format!("the receiver says {code}"),
    };
    Sent::Refused { status: Some(status), reason, after: wait(headers, now) }
}

/// What `Retry-After` says: seconds, or a date (RFC 9110).
fn wait(headers: &HeaderMap, now: Moment) -> Option<Moment> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let at = match said.parse::<u32>() {
        Ok(seconds) => now + TimeDelta::seconds(seconds.into()),
        Err(_) => DateTime::parse_from_rfc2822(said).ok()?.to_utc(),
    };
    Some(at.min(now + LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Moment {
        DateTime::from_timestamp(784_111_777, 0).unwrap()
    }

    #[test]
    fn receivers_say_when_to_come_again_in_two_ways_and_not_for_ever() {
        let after = |said: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, said.parse().unwrap())]);
            wait(&headers, now()).map(|at| (at - now()).num_seconds())
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(after("4000000000"), Some(24 * 3600));
        assert_eq!(after("-1"), None);
        assert_eq!(after("soon"), None);
        assert_eq!(wait(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn only_success_is_success() {
        let of = |code| of_answer(StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), now());
        assert_eq!(of(204), Sent::Taken(StatusCode::NO_CONTENT));
        assert_eq!(of(410), Sent::Gone(StatusCode::GONE));
        for code in [301, 304, 400, 404, 429, 500] {
            assert!(matches!(of(code), Sent::Refused { .. }), "{code}");
        }
    }

    #[tokio::test]
    async fn private_networks_are_not_reached_by_address_or_by_name() {
        let sender = Sender::new(false).unwrap();
        for url in ["https://127.0.0.1:1/", "https://localhost:1/", "http://example.org/"] {
            let sent = sender.send(url, "id", &[], now(), vec![]).await;
            let Sent::Refused { status: None, .. } = sent else { panic!("{url}: {sent:?}") };
        }
    }
}
