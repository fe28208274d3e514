//! One batch of a projection: its operations and its checkpoint, in one transaction.

use std::sync::Arc;
use std::time::Duration;

use events::{DomainEvent, Position, UserEvent, UserId};
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::claim::Checkpoint;
use super::is_poison;
use super::parked::{Parked, park};
use crate::projections::{ApplyError, Projection};
use crate::tail::{Content, Item};

/// What follows of an event for a projection.
enum Effect<Op> {
    Apply(Vec<Op>),
    Park(String),
}

/// The events after a checkpoint and what follows of them.
pub(crate) struct Batch<P: Projection> {
    from: Checkpoint,
    to: Position,
    effects: Vec<(Arc<Item>, Effect<P::Op>)>,
    /// Who is erased by these events, of whom the projection holds something.
    erased: Vec<UserId>,
}

impl<P: Projection> Batch<P> {
    /// Events without any effect on the projection only advance the checkpoint.
    pub(crate) fn new(from: Checkpoint, items: &[Arc<Item>], parked: &mut Parked) -> Self {
        let to = items.last().map_or(from.position, |item| item.position);
        let (mut effects, mut erased) = (Vec::new(), Vec::new());
        for item in items {
            erased.extend(erases::<P>(item));
            match effect::<P>(item, parked) {
                Effect::Apply(ops) if ops.is_empty() => {}
                effect => effects.push((item.clone(), effect)),
            }
        }
        Self { from, to, effects, erased }
    }

    /// The same batch, with a checkpoint further on: after it nothing concerns the projection.
    pub(crate) fn up_to(self, to: Position) -> Self {
        Self { to, ..self }
    }

    /// The checkpoint after the batch.
    pub(super) fn end(&self) -> Position {
        self.to
    }

    /// The cached answers that are stale once the batch is committed.
    pub(super) fn stale_caches(&self) -> Vec<String> {
        let ops = self.effects.iter().flat_map(|(_, effect)| match effect {
            Effect::Apply(ops) => ops.as_slice(),
            Effect::Park(_) => &[],
        });
        ops.flat_map(P::stale_caches).collect()
    }

    /// Applies the batch, whatever of it is poison, and waits for the projections that this one reads.
    pub(crate) async fn carry_out(
        &self,
        db: &mut PgConnection,
        projection: &mut P,
        parked: &mut Parked,
    ) -> Result<(), ApplyError> {
        loop {
            let applied = match self.apply(db, projection).await {
                Err(ApplyError::Postgres(error)) if is_poison(&error) => {
                    tracing::warn!(projection = P::NAME, %error, "a batch is applied singly");
                    *projection = P::default();
                    self.apply_singly(db, projection, parked).await
                }
                applied => applied,
            };
            if applied.is_err() {
                // What was rolled back is not to be remembered.
                *projection = P::default();
            }
            match applied {
                Err(ApplyError::Waits) => sleep(LOOK_AGAIN).await,
                applied => return applied,
            }
        }
    }

    /// Applies the batch. The checkpoint moves first: who holds its row holds the projection, and no
    /// batch that is half applied holds anything that they might wait for.
    async fn apply(&self, db: &mut PgConnection, projection: &mut P) -> Result<(), ApplyError> {
        if self.effects.is_empty() && self.erased.is_empty() {
            return self.advance(db).await;
        }
        let mut transaction = db.begin().await?;
        self.advance(&mut transaction).await?;
        let mut ops = Vec::new();
        for (item, effect) in &self.effects {
            match effect {
                Effect::Apply(of_event) => ops.extend(of_event.iter().cloned()),
                Effect::Park(error) => park(&mut transaction, P::NAME, item, error).await?,
            }
        }
        if !ops.is_empty() {
            projection.apply(&mut transaction, ops).await?;
        }
        self.erase(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Applies the batch event by event, and parks those that Postgres refuses.
    async fn apply_singly(
        &self,
        db: &mut PgConnection,
        projection: &mut P,
        parked: &mut Parked,
    ) -> Result<(), ApplyError> {
        let mut transaction = db.begin().await?;
        self.advance(&mut transaction).await?;
        for (item, effect) in &self.effects {
            let error = match effect {
                Effect::Park(error) => Some(error.clone()),
                Effect::Apply(_) if P::IN_ORDER && parked.has(&item.stream) => {
                    Some(EARLIER.to_owned())
                }
                Effect::Apply(ops) => {
                    let mut savepoint = transaction.begin().await?;
                    match projection.apply(&mut savepoint, ops.clone()).await {
                        Ok(()) => {
                            savepoint.commit().await?;
                            None
                        }
                        Err(ApplyError::Postgres(error)) if is_poison(&error) => {
                            savepoint.rollback().await?;
                            *projection = P::default();
                            Some(error.to_string())
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            if let Some(error) = error {
                park(&mut transaction, P::NAME, item, &error).await?;
                parked.add(&item.stream);
            }
        }
        self.erase(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn erase(&self, db: &mut PgConnection) -> Result<(), ApplyError> {
        for user in &self.erased {
            P::erase(db, *user).await?;
        }
        Ok(())
    }

    /// Moves the checkpoint, if it is where the batch begins.
    async fn advance(&self, db: &mut PgConnection) -> Result<(), ApplyError> {
        self.from.move_to(db, P::NAME, self.to).await
    }
}

/// A projection that waits for another one looks again after this long.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Why the later events of a stream are parked.
pub(super) const EARLIER: &str = "an earlier event of its stream is parked";

fn follows<P: Projection>(item: &Item) -> bool {
    item.stream.category().is_some_and(|category| P::FOLLOWS.contains(&category))
}

/// Whether an event may have an effect on a projection.
pub(super) fn concerns<P: Projection>(item: &Item) -> bool {
    match item.content {
        Content::Foreign => false,
        Content::Ours(_) | Content::Poison(_) => follows::<P>(item) || erases::<P>(item).is_some(),
    }
}

/// Who is erased by an event, if the projection holds something of people.
fn erases<P: Projection>(item: &Item) -> Option<UserId> {
    match &item.content {
        Content::Ours(event) if !P::ERASE.is_empty() => match event.event {
            DomainEvent::User(UserEvent::Erased { user, .. }) => Some(user),
            _ => None,
        },
        Content::Ours(_) | Content::Poison(_) | Content::Foreign => None,
    }
}

fn effect<P: Projection>(item: &Item, parked: &mut Parked) -> Effect<P::Op> {
    if !follows::<P>(item) {
        return Effect::Apply(vec![]);
    }
    match &item.content {
        Content::Foreign => Effect::Apply(vec![]),
        Content::Ours(_) if P::IN_ORDER && parked.has(&item.stream) => {
            Effect::Park(EARLIER.to_owned())
        }
        Content::Ours(event) => Effect::Apply(P::project(event)),
        Content::Poison(error) => {
            parked.add(&item.stream);
            Effect::Park(error.clone())
        }
    }
}
