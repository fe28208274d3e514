//! Whether somebody may act at all: who is suspended, or erased, may neither read nor write.

use domain::user::{Suspension, User};
use events::{StreamName, UserId};
use http::StatusCode;

use super::Authenticator;
use crate::{Problem, clock};

impl Authenticator {
    /// Refuses who is suspended. The state of the account is in memory for whoever did anything
    /// lately, and follows the log.
    ///
    /// # Errors
    /// 403 `suspended`; 503 while the log cannot be read.
    pub async fn not_suspended(&self, user: UserId) -> Result<(), Problem> {
        let known = self.log.state::<User>(&StreamName::user(user)).await?;
        must_not_be_suspended(&known.state)
    }
}

pub(super) fn must_not_be_suspended(user: &User) -> Result<(), Problem> {
    if user.erasure().is_some() {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "erased", "This account was erased"));
    }
    match user.account() {
        Some(account) if account.is_suspended(clock::now()) => {
            Err(suspended(account.suspension.as_ref()))
        }
        Some(_) | None => Ok(()),
    }
}

/// 403: this person may do nothing. They are told why and until when, here, because they can read
/// it nowhere else.
fn suspended(suspension: Option<&Suspension>) -> Problem {
    let problem = Problem::new(StatusCode::FORBIDDEN, "suspended", "This account is suspended");
    let Some(Suspension { until, reason }) = suspension else { return problem };
    let until = until
        .map(|until| format!("until {}", until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)));
    let told: Vec<_> = reason.open().cloned().into_iter().chain(until).collect();
    if told.is_empty() { problem } else { problem.detail(told.join("; ")) }
}

#[cfg(test)]
mod tests {
    use events::{Moment, Personal};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_is_suspended_is_told_why_and_until_when() {
        let (subject, until) = (UserId::new(Uuid::nil()), Moment::from_timestamp(86_400, 0));
        let told = |until, reason| {
            let problem = suspended(Some(&Suspension { until, reason }));
            serde_json::to_value(problem).unwrap()["detail"].take()
        };
        let reason = Personal::new(subject, "Spam".to_owned());
        assert_eq!(told(None, reason.clone()), json!("Spam"));
        assert_eq!(told(until, reason), json!("Spam; until 1970-01-02T00:00:00Z"));
        assert_eq!(told(None, Personal::Erased { subject }), json!(null));
    }
}
