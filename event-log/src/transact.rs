//! Load, decide, append: the one way in which something comes to have happened.

use std::sync::Arc;
use std::time::Duration;

use domain::Decider;
use events::{Position, StreamName};

use crate::append::Appended;
use crate::cache::Visit;
use crate::fold::Folded;
use crate::idempotency::Known;
use crate::open;
use crate::{Context, EventLog, LogError, OpenError, Outcome, TransactError, Unavailable};

/// How often a command is decided again because somebody else was faster.
const MAX_CONFLICTS: u32 = 30;

pub(crate) type Result<T, D> = std::result::Result<T, TransactError<<D as Decider>::Rejection>>;

impl EventLog {
    /// The state of a stream as it is now: what is cached, and what the store has beyond that.
    pub(crate) async fn fold<D: Decider>(
        &self,
        visit: &Visit,
        stream: &StreamName,
    ) -> std::result::Result<Arc<Folded<D>>, LogError> {
        let known = visit.state::<D>().filter(|folded| self.may_serve(folded));
        self.fold_further(visit, stream, known.unwrap_or_default()).await
    }

    /// A state with sealed data in it is good only as long as it cannot be had any better.
    pub(crate) fn may_serve<D>(&self, folded: &Folded<D>) -> bool {
        !folded.sealed || self.vault().is_away()
    }

    async fn fold_further<D: Decider>(
        &self,
        visit: &Visit,
        stream: &StreamName,
        known: Arc<Folded<D>>,
    ) -> std::result::Result<Arc<Folded<D>>, LogError> {
        let folded = self.read_further(stream, known).await?;
        visit.keep(&folded);
        Ok(folded)
    }

    /// A state with what the store has beyond it.
    pub(crate) async fn read_further<D: Decider>(
        &self,
        stream: &StreamName,
        known: Arc<Folded<D>>,
    ) -> std::result::Result<Arc<Folded<D>>, LogError> {
        let new = self.store().read_stream(stream, known.next_revision()).await?;
        if new.is_empty() && known.revision.is_some() {
            return Ok(known);
        }
        let mut folded = Arc::unwrap_or_clone(known);
        for recorded in &new {
            let data = match open::open_data(self.vault(), recorded).await {
                Err(OpenError::VaultUnavailable(_)) => {
                    folded.sealed = true;
                    open::parse(recorded)
                }
                data => data,
            };
            data.and_then(|data| folded.read(recorded, data)).map_err(|error| {
                LogError::Undecodable {
                    stream: stream.clone(),
                    revision: recorded.revision,
                    reason: error.to_string(),
                }
            })?;
        }
        Ok(Arc::new(folded))
    }

    pub(crate) async fn decide_and_append<D: Decider>(
        &self,
        stream: &StreamName,
        command: &D::Command,
        context: &Context,
    ) -> Result<Outcome, D> {
        let visit = self.states().visit(stream);
        let cached = visit.state::<D>().filter(|folded| self.may_serve(folded));
        let mut current = cached.is_none();
        let mut folded = match cached {
            Some(folded) => folded,
            None => self.fold(&visit, stream).await?,
        };
        for conflict in 0..MAX_CONFLICTS {
            match folded.keys.find(context) {
                Some(Known::Repeated(outcome)) => return Ok(outcome),
                Some(Known::Reused) => return Err(TransactError::KeyReused),
                None => {}
            }
            match folded.state.decide(command) {
                Ok(events) if !events.is_empty() => {
                    match self.append::<D>(&visit, stream, &folded, &events, context).await? {
                        Appended::Done { position, revision } => {
                            let revision = Some(revision);
                            return Ok(Outcome { position, revision, repeated: false });
                        }
                        Appended::Conflict => pause(conflict).await,
                    }
                }
                // A cached state may be too old to say no, or that nothing is to be done.
                Ok(_) | Err(_) if !current => {}
                Ok(_) => {
                    return Ok(Outcome {
                        position: folded.last.unwrap_or(Position::START),
                        revision: folded.revision,
                        repeated: false,
                    });
                }
                Err(_) if folded.sealed => {
                    let away = Unavailable::vault("the state cannot be opened");
                    return Err(TransactError::Unavailable(away));
                }
                Err(rejection) => return Err(TransactError::Rejected(rejection)),
            }
            folded = self.fold_further(&visit, stream, folded).await?;
            current = true;
        }
        Err(TransactError::Contention)
    }

    /// Decides on nothing, as for a stream that nobody has written yet.
    pub(crate) async fn decide_and_append_new<D: Decider>(
        &self,
        stream: &StreamName,
        command: &D::Command,
        context: &Context,
    ) -> Result<Outcome, D> {
        let visit = self.states().visit(stream);
        let nothing = Arc::<Folded<D>>::default();
        if let Ok(events) = nothing.state.decide(command)
            && !events.is_empty()
            && let Appended::Done { position, revision } =
                self.append::<D>(&visit, stream, &nothing, &events, context).await?
        {
            return Ok(Outcome { position, revision: Some(revision), repeated: false });
        }
        // There is something after all, or nothing to append: what the stream holds decides.
        drop(visit);
        self.decide_and_append::<D>(stream, command, context).await
    }
}

/// The first retries come at once: conflicts are rare, and the next decision is quick. Later ones
/// give way to whoever keeps winning.
async fn pause(conflict: u32) {
    if let Some(rest) = conflict.checked_sub(3) {
        tokio::time::sleep(Duration::from_millis(u64::from(rest.min(20)))).await;
    }
}
