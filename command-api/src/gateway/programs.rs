//! The sockets of programs that are no presence of their owner: somebody whose bot listens is not online
//! by that, and is still told of things in other ways.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use events::LoginId;
use service::Identity;

use crate::presence::Present;

/// How many sockets each API token has here. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Programs(Arc<Mutex<HashMap<LoginId, u32>>>);

/// A socket of a program, until this is dropped.
pub(super) struct Program {
    programs: Programs,
    token: LoginId,
}

impl Programs {
    /// One socket more, unless there are that many.
    pub(super) fn enter(&self, token: LoginId, most: u32) -> Option<Program> {
        let mut counts = self.lock();
        let count = counts.entry(token).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Program { programs: self.clone(), token })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LoginId, u32>> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let mut counts = self.programs.lock();
        if let Some(count) = counts.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.token);
            }
        }
    }
}

/// Whether its person is there by a socket.
pub(super) enum Attendance {
    /// They are.
    Present(Present),
    /// A program listens, which is nobody's presence.
    Program { _counted: Program },
}

impl Attendance {
    /// Whether nobody uses the device at the moment.
    pub(super) fn set_away(&mut self, away: bool) {
        match self {
            Self::Present(present) => present.set_away(away),
            Self::Program { .. } => {}
        }
    }
}

/// Resolves when the API token of somebody expires; never for who logged in.
pub(super) async fn expiry(identity: Identity) {
    let Some(expires) = identity.grant.and_then(|grant| grant.expires) else {
        return std::future::pending().await;
    };
    // The clock of timers stands still while a machine sleeps, so it is asked again.
    while let Ok(left) = (expires - service::clock::now()).to_std() {
        tokio::time::sleep(left.min(Duration::from_secs(60))).await;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_token_has_so_many_sockets_and_not_one_more() {
        let (programs, token) = (Programs::default(), LoginId::new(Uuid::nil()));
        let (first, second) = (programs.enter(token, 2), programs.enter(token, 2));
        assert!(first.is_some() && second.is_some() && programs.enter(token, 2).is_none());
        drop(first);
        assert!(programs.enter(token, 2).is_some());
        drop(second);
        assert!(programs.lock().is_empty());
    }
}
