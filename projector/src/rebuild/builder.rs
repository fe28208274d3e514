//! One projection that is built: from events to rows, on a connection that sees its tables.

use std::sync::Arc;

use chrono::TimeDelta;
use event_log::EventLog;
use events::{Category, Position};
use futures::future::BoxFuture;
use sqlx::PgConnection;

use crate::projections::{ApplyError, Projection, Retention, Table};
use crate::runner::batch::Batch;
use crate::runner::claim::{self, Checkpoint};
use crate::runner::parked::Parked;
use crate::runner::remedy;
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
    /// Whether it holds something of people, which goes when they are erased.
    pub erases: bool,
}

impl Model {
    /// Whether an event of a category may have an effect on it.
    pub(super) fn wants(&self, category: Category) -> bool {
        self.follows.contains(&category)
            || category == Category::Parked
            || self.erases && category == Category::User
    }
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
        log: &'a EventLog,
        items: Vec<Arc<Item>>,
        to: Position,
    ) -> BoxFuture<'a, Result<(), ApplyError>>;

    /// What is done to its tables now and then.
    fn upkeep<'a>(&'a self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>>;
}

impl<P: Projection> Builder<P> {
    /// Applies events, or carries out what was decided about one that is parked.
    async fn apply_some(
        &mut self,
        db: &mut PgConnection,
        log: &EventLog,
        items: &[Arc<Item>],
        to: Position,
    ) -> Result<(), ApplyError> {
        let (projection, parked) = (&mut self.projection, &mut self.parked);
        if let [item] = items
            && let Some(remedy) = remedy::of::<P>(item)
        {
            let way = (self.checkpoint, to);
            remedy::carry_out(db, log, projection, parked, way, remedy).await?;
        } else {
            let batch = Batch::<P>::new(self.checkpoint, items, parked).up_to(to);
            batch.carry_out(db, projection, parked).await?;
        }
        self.checkpoint.position = to;
        Ok(())
    }
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
        let (tables, follows, erases) = (P::TABLES, P::FOLLOWS, !P::ERASE.is_empty());
        Model { name, version, tables, follows, erases }
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
        log: &'a EventLog,
        mut items: Vec<Arc<Item>>,
        to: Position,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            while self.checkpoint.position < to {
                let rest = items.split_off(remedy::alone_length::<P>(&items));
                let end = if rest.is_empty() { None } else { items.last() };
                let end = end.map_or(to, |item| item.position);
                self.apply_some(db, log, &items, end).await?;
                items = rest;
            }
            Ok(())
        })
    }

    /// How long messages are kept is the business of the live tables, and their horizon holds for
    /// these too.
    fn upkeep<'a>(&'a self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(P::upkeep(db, Retention { feed: TimeDelta::days(7), messages: None }))
    }
}
