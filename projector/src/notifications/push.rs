//! Web push: one encrypted message to a browser's push service (RFC 8030).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::user::Subscription;
use events::NotificationId;
use reqwest::{Client, StatusCode, redirect};
use service::Vapid;
use service::reach::is_public;
use url::{Host, Url};

use super::Refused;
use super::reach::PublicOnly;
use super::seal::Browser;

/// How long a push service may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it keeps a message for a browser that is switched off, in seconds.
const TTL: &str = "86400";

/// The way to push services.
#[derive(Clone)]
pub(super) struct Push {
    client: Client,
    vapid: Vapid,
    contact: Option<String>,
    private: bool,
}

/// What became of a message to one browser.
pub(super) enum Sent {
    /// The service took it.
    Taken,
    /// There is no such browser any more.
    Gone,
    /// Neither.
    Refused(Refused),
}

impl Push {
    /// A client that follows nobody elsewhere, and goes to no private network unless told to.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new(
        vapid: Vapid,
        contact: Option<String>,
        private: bool,
    ) -> anyhow::Result<Self> {
        service::tls::prepare();
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .https_only(!private);
        let client = match private {
            true => client,
            false => client.dns_resolver(Arc::new(PublicOnly)),
        };
        let client = client.build().context("TLS for web push")?;
        Ok(Self { client, vapid, contact, private })
    }

    /// Sends a text to a browser. A newer message about the same notification takes its place.
    pub(super) async fn send(
        &self,
        to: &Subscription,
        notification: NotificationId,
        text: &[u8],
    ) -> Sent {
        let keys = (to.endpoint.open(), to.p256dh.open(), to.auth.open());
        let (Some(endpoint), Some(p256dh), Some(auth)) = keys else { return Sent::Gone };
        let Some(browser) = Browser::new(p256dh, auth) else {
            return Sent::Refused(Refused::for_ever("the browser's keys are none"));
        };
        let Some(url) = self.reachable(endpoint) else {
            return Sent::Refused(Refused::for_ever("the push service is not on the public net"));
        };
        let origin = url.origin().ascii_serialization();
        let now = service::clock::now().timestamp();
        let answer = self
            .client
            .post(url)
            .header("TTL", TTL)
            .header("Topic", notification.uuid().simple().to_string())
            .header("Content-Type", "application/octet-stream")
            .header("Content-Encoding", "aes128gcm")
            .header(
                "Authorization",
                self.vapid.authorization(&origin, self.contact.as_deref(), now),
            )
            .body(browser.seal(text))
            .send()
            .await;
        match answer {
            Ok(answer) => of_status(answer.status()),
            Err(error) if error.is_timeout() => {
                Sent::Refused(Refused::for_now("the push service takes too long"))
            }
            Err(_) => Sent::Refused(Refused::for_now("the push service cannot be reached")),
        }
    }

    /// The endpoint, if it may be sent to. Names are looked up, and judged, by the client.
    fn reachable(&self, endpoint: &str) -> Option<Url> {
        let url = Url::parse(endpoint).ok()?;
        let public = match url.host()? {
            Host::Domain(_) => true,
            Host::Ipv4(address) => is_public(address.into()),
            Host::Ipv6(address) => is_public(address.into()),
        };
        (self.private || (public && url.scheme() == "https")).then_some(url)
    }
}

fn of_status(status: StatusCode) -> Sent {
    let code = status.as_u16();
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Sent::Gone,
        status if status.is_success() => Sent::Taken,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Sent::Refused(Refused::for_now(format!("the push service says {code}")))
        }
        status if status.is_server_error() => {
            Sent::Refused(Refused::for_now(format!("the push service says {code}")))
        }
        _ => Sent::Refused(Refused::for_ever(format!("the push service refuses with {code}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_services_are_reached_unless_told_otherwise() {
        let secrets = event_log::Secrets { master: [1; 32], deployment: [2; 32] };
        let push = |private| Push::new(Vapid::of(&secrets), None, private).unwrap();
        let (public, private) = (push(false), push(true));
        assert!(public.reachable("https://push.example/a").is_some());
        for elsewhere in [
            "http://push.example/a",
            "https://127.0.0.1/a",
            "https://2130706433/a",
            "https://0x7f.1/a",
            "https://[::1]/a",
            "https://[::ffff:10.0.0.1]/a",
            "https://169.254.169.254/latest",
        ] {
            assert!(public.reachable(elsewhere).is_none(), "{elsewhere}");
            assert!(private.reachable(elsewhere).is_some(), "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_not_reached() {
        let secrets = event_log::Secrets { master: [1; 32], deployment: [2; 32] };
        let push = Push::new(Vapid::of(&secrets), None, false).unwrap();
        let error = push.client.get("https://localhost:1/").send().await.unwrap_err();
        assert!(format!("{error:?}").contains("no public address"), "{error:?}");
    }
}
