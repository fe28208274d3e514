//! One projection that is built: from events to rows, on a connection that sees its tables.

use std::sync::Arc;

use chrono::TimeDelta;
use events::{Category, Position};
use futures::future::BoxFuture;
use sqlx::PgConnection;

use crate::projections::{ApplyError, Projection, Retention, Table};
use crate::runner::batch::Batch;
use crate::runner::claim::{self, Checkpoint};
use crate::runner::parked::Parked;
use crate::tail::Item;

/// What is known of a projection.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Its name.
    pub name: &'static str,
    /// The version of its definition in this program.
    pub version: i32,
    /// Its tables.
    pub tables: &'static [Table],
    /// The categories that matter to it.
    pub follows: &'static [Category],
}

/// A projection that can be built, whichever it is.
pub(crate) trait Build: Send {
    fn model(&self) -> Model;

    /// Takes up where its tables are.
    fn take_up<'a>(
        &'a mut self,
        db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<Position, sqlx::Error>>;

    /// Applies events, after which there is nothing for it up to a position.
    fn apply<'a>(
        &'a mut self,
        db: &'a mut PgConnection,
        items: &'a [Arc<Item>],
        to: Position,
    ) -> BoxFuture<'a, Result<(), ApplyError>>;

    /// What is done to its tables now and then.
    fn upkeep<'a>(&'a self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>>;
}

/// A projection that is built.
pub(crate) struct Builder<P> {
    projection: P,
    parked: Parked,
    checkpoint: Checkpoint,
}

impl<P: Projection> Default for Builder<P> {
    fn default() -> Self {
        let checkpoint = Checkpoint { position: Position::START, generation: 0, told: false };
        Self { projection: P::default(), parked: Parked::default(), checkpoint }
    }
}

impl<P: Projection> Build for Builder<P> {
    fn model(&self) -> Model {
        let (name, version) = (P::NAME, P::VERSION);
        Model { name, version, tables: P::TABLES, follows: P::FOLLOWS }
    }

    fn take_up<'a>(
        &'a mut self,
        db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<Position, sqlx::Error>> {
        Box::pin(async {
            let (checkpoint, _) = claim::checkpoint(db, P::NAME, P::VERSION).await?;
            self.projection = P::default();
            self.parked = Parked::load(db, P::NAME).await?;
            self.checkpoint = Checkpoint { told: false, ..checkpoint };
            Ok(checkpoint.position)
        })
    }

    fn apply<'a>(
        &'a mut self,
        db: &'a mut PgConnection,
        items: &'a [Arc<Item>],
        to: Position,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            let batch = Batch::<P>::new(self.checkpoint, items, &mut self.parked).up_to(to);
            batch.carry_out(db, &mut self.projection, &mut self.parked).await?;
            self.checkpoint.position = to;
            Ok(())
        })
    }

    /// How long messages are kept is the business of the live tables, and their horizon holds for
    /// these too.
    fn upkeep<'a>(&'a self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(P::upkeep(db, Retention { feed: TimeDelta::days(7), messages: None }))
    }
}
