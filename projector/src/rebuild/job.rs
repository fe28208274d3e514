//! One rebuild: from what it finds, to the switch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use event_log::EventLog;
use events::{Category, Position};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::compare::{Compared, Difference, compare};
use super::feed::{Page, pages};
use super::status::{kept, together};
use super::switch::{self, is_busy};
use super::tables::{execute, make, make_indexes, make_views};
use super::{Build, Model, Slot};
use crate::runner::claim::{LOCKS, decoded};
use crate::tail::Item;

/// A batch is applied at the latest when it has so many events.
const BATCH: usize = 4096;
/// How many pages wait for a projection that is slower than the others.
const AHEAD: usize = 3;
/// A catch-up that found fewer events than this is near enough: the rest comes under the gate.
const NEAR: u64 = 256;
/// How often it is caught up before the rest comes under the gate all the same.
const ROUNDS: usize = 50;
/// How often a switch is tried when readers hold the tables.
const TRIES: u32 = 40;
/// Between two tries, readers have the tables to themselves.
const BETWEEN: Duration = Duration::from_millis(200);

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Where it began.
    pub from: Position,
    /// Where it is.
    pub position: Position,
    /// Where it ends.
    pub until: Position,
    /// How many events were read, of whatever kind.
    pub events: u64,
}

/// A rebuild of some projections. One at a time works on a database.
pub struct Job {
    options: PgConnectOptions,
    log: EventLog,
    slot: Slot,
    parts: Vec<Part>,
    progress: watch::Sender<Progress>,
    /// Keeps other rebuilds away as long as it is open.
    _claim: PgConnection,
}

/// A projection that is built, and the connection that sees its tables.
struct Part {
    build: Box<dyn Build>,
    log: EventLog,
    db: PgConnection,
    position: Position,
}

impl Job {
    /// Takes up the rebuild of these projections, or begins it. With [`Slot::Old`], what was replaced
    /// is brought up to date instead, to be switched back.
    ///
    /// # Errors
    /// When a server does not answer, somebody else is at it, or it does not fit what was begun.
    pub async fn open(
        options: PgConnectOptions,
        log: EventLog,
        names: &[&str],
        slot: Slot,
    ) -> Result<Self> {
        // What a crash of Postgres takes is built again.
        let options = options.options([("jit", "off"), ("synchronous_commit", "off")]);
        let mut claim = connect(&options, "rebuild").await?;
        claim_all(&mut claim).await?;
        let builds: Vec<Box<dyn Build>> = crate::start::builds()
            .into_iter()
            .filter(|build| names.contains(&build.model().name))
            .collect();
        ensure!(!builds.is_empty(), "there is nothing to rebuild");
        let models: Vec<Model> = builds.iter().map(|build| build.model()).collect();
        let all: Vec<&str> = models.iter().map(|model| model.name).collect();
        for model in &models {
            prepare(&mut claim, model, slot, &all).await?;
        }
        switch::drop_views(&mut claim, slot).await?;
        make_views(&mut claim, slot, &all).await?;
        let mut parts = Vec::new();
        for mut build in builds {
            let name = build.model().name;
            let beside = all.iter().filter(|other| **other != name);
            let mut path = vec![slot.schema(name)];
            path.extend(beside.map(|other| slot.schema(other)));
            path.push("public".to_owned());
            let options = options.clone().options([("search_path", path.join(","))]);
            let mut db = connect(&options, &format!("rebuild {name}")).await?;
            let position = build.take_up(&mut db).await?;
            parts.push(Part { build, log: log.clone(), db, position });
        }
        let progress = watch::Sender::new(Progress::default());
        Ok(Self { options, log, slot, parts, progress, _claim: claim })
    }

    /// How far it is, as it goes on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Builds the tables, near to where the live ones are, and whatever is better made at the end.
    ///
    /// # Errors
    /// When a server does not answer. What was built stays, and the next job goes on from there.
    pub async fn build(&mut self) -> Result<()> {
        self.catch_up().await?;
        for part in &mut self.parts {
            let model = part.build.model();
            let schema = self.slot.schema(model.name);
            for table in model.tables {
                make_indexes(&mut part.db, &schema, table, &|_| true).await?;
            }
            part.build.upkeep(&mut part.db).await?;
            for table in model.tables {
                execute(&mut part.db, &format!("analyze {schema}.{}", table.name)).await?;
            }
        }
        self.catch_up().await
    }

    /// Compares both versions at one position, and tells of every row that differs. Live projections
    /// stand still for the moment in which the built ones come to the same position.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn compare(
        &mut self,
        tell: &mut (dyn FnMut(Difference) + Send),
    ) -> Result<Vec<Compared>> {
        self.catch_up().await?;
        let mut holder = connect(&self.options, "rebuild gate").await?;
        let mut gate = holder.begin().await?;
        let positions = hold(&mut gate, &self.names()).await?;
        self.build_to(&positions).await?;
        let mut eyes = connect(&self.options, "rebuild compares").await?;
        execute(&mut eyes, "begin isolation level repeatable read, read only").await?;
        execute(&mut eyes, "select from pg_class limit 1").await?;
        gate.rollback().await?;
        let mut compared = Vec::new();
        for part in &self.parts {
            compared.extend(compare(&mut eyes, &part.build.model(), self.slot, tell).await?);
        }
        Ok(compared)
    }

    /// Makes the built version the live one, in one transaction. The one that was live is kept in its
    /// place ([`Slot::Old`], and after a switch back [`Slot::Next`]).
    ///
    /// # Errors
    /// When a server does not answer, or readers hold the tables for too long: nothing has changed.
    pub async fn switch(mut self) -> Result<()> {
        for attempt in 1..=TRIES {
            self.catch_up().await?;
            let mut holder = connect(&self.options, "rebuild gate").await?;
            let mut gate = holder.begin().await?;
            let positions = hold(&mut gate, &self.names()).await?;
            self.build_to(&positions).await?;
            let mut watcher = connect(&self.options, "rebuild watches").await?;
            switch::readers_of_before_end(&mut watcher).await?;
            let models: Vec<Model> = self.parts.iter().map(|part| part.build.model()).collect();
            match switch::switch(&mut gate, self.slot, &models, attempt).await {
                Ok(()) => return Ok(gate.commit().await?),
                Err(error) if is_busy(&error) => gate.rollback().await?,
                Err(error) => return Err(error),
            }
            sleep(BETWEEN).await;
        }
        bail!("readers hold the tables: nothing was switched; try again")
    }

    fn names(&self) -> Vec<&'static str> {
        self.parts.iter().map(|part| part.build.model().name).collect()
    }

    async fn catch_up(&mut self) -> Result<()> {
        for _ in 0..ROUNDS {
            let mut db = connect(&self.options, "rebuild looks").await?;
            let positions = positions(&mut db, &self.names(), "").await?;
            if self.build_to(&positions).await? < NEAR {
                break;
            }
        }
        Ok(())
    }

    /// Builds each projection to just this position. Answers with how many events were read for it.
    async fn build_to(&mut self, until: &BTreeMap<String, Position>) -> Result<u64> {
        let target = |part: &Part| {
            let name = part.build.model().name;
            until.get(name).copied().unwrap_or(Position::START)
        };
        let due = || self.parts.iter().filter(|part| part.position < target(part));
        let Some(from) = due().map(|part| part.position).min() else { return Ok(0) };
        let end = due().map(target).max().unwrap_or(from);
        let models: Vec<Model> = due().map(|part| part.build.model()).collect();
        let wanted = |category: &Category| models.iter().any(|model| model.wants(*category));
        let follows: BTreeSet<_> = Category::ALL.into_iter().filter(wanted).collect();
        self.progress.send_modify(|progress| {
            *progress = Progress { from, position: from, until: end, ..*progress };
        });
        let mut workers = JoinSet::new();
        let mut takers = Vec::new();
        for part in std::mem::take(&mut self.parts) {
            let (sender, receiver) = mpsc::channel(AHEAD);
            takers.push(sender);
            let end = target(&part);
            workers.spawn(part.work(receiver, end));
        }
        let mut pages = pages(self.log.clone(), from, end, follows);
        let mut events = 0;
        'pages: while let Some(page) = pages.recv().await {
            let page = Arc::new(page.await??);
            events += page.events;
            for taker in &takers {
                if taker.send(page.clone()).await.is_err() {
                    // It failed, and says below why.
                    break 'pages;
                }
            }
            self.progress.send_modify(|progress| {
                progress.position = page.to;
                progress.events += page.events;
            });
        }
        drop(takers);
        while let Some(part) = workers.join_next().await {
            self.parts.push(part.context("a projection ended")??);
        }
        self.parts.sort_by_key(|part| part.build.model().name);
        Ok(events)
    }
}

impl Part {
    /// Applies pages as they come, up to a position.
    async fn work(mut self, mut pages: mpsc::Receiver<Arc<Page>>, end: Position) -> Result<Self> {
        let name = self.build.model().name;
        let model = self.build.model();
        let mut waiting: Vec<Arc<Item>> = Vec::new();
        let mut to = self.position;
        loop {
            // Nothing is kept back while no page is there: another projection may wait for it.
            let page = match pages.try_recv() {
                Ok(page) => Some(page),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    self.apply(&mut waiting, to).await.context(name)?;
                    pages.recv().await
                }
            };
            let Some(page) = page else { break };
            let next = page.to.min(end);
            if next <= to {
                continue;
            }
            let follows = |item: &Arc<Item>| {
                item.stream.category().is_some_and(|category| model.wants(category))
            };
            let new = page.items.iter().filter(|item| item.position > to && item.position <= next);
            waiting.extend(new.filter(|item| follows(item)).cloned());
            to = next;
            if waiting.len() >= BATCH {
                self.apply(&mut waiting, to).await.context(name)?;
            }
        }
        self.apply(&mut waiting, to).await.context(name)?;
        Ok(self)
    }

    async fn apply(&mut self, waiting: &mut Vec<Arc<Item>>, to: Position) -> Result<()> {
        if to > self.position {
            let items = std::mem::take(waiting);
            self.build.apply(&mut self.db, &self.log, items, to).await?;
            self.position = to;
        }
        Ok(())
    }
}

/// Makes the schema of a projection, unless it is there, and refuses what does not fit together.
async fn prepare(db: &mut PgConnection, model: &Model, slot: Slot, all: &[&str]) -> Result<()> {
    let name = model.name;
    let there = kept(db, &slot.schema(name), name).await?;
    let begun = together(db, name).await?;
    match (slot, there) {
        (Slot::Old, None) => bail!("there is no older version of {name} to go back to"),
        (Slot::Old, Some(_)) if !begun.is_empty() => bail!(
            "another version of {name} is there beside the older one: drop it with `roundtable \
             rebuild {name} --drop`, or switch to it"
        ),
        (Slot::Old, Some(_)) => Ok(()),
        (Slot::Next, None) => make(db, model, all).await,
        (Slot::Next, Some(_)) if begun != all => bail!(
            "{name} is being rebuilt together with others: go on with `roundtable rebuild {0}`, or \
             drop it with `roundtable rebuild {0} --drop`",
            begun.join(" ")
        ),
        (Slot::Next, Some(next)) if next.version != model.version => bail!(
            "the next version of {name} was begun by version {} of its definition, and this program \
             has version {}: drop it with `roundtable rebuild {name} --drop`",
            next.version,
            model.version
        ),
        (Slot::Next, Some(_)) => Ok(()),
    }
}

async fn claim_all(db: &mut PgConnection) -> Result<()> {
    let claimed: bool = sqlx::query_scalar("select pg_try_advisory_lock($1, hashtext('rebuild'))")
        .bind(LOCKS)
        .fetch_one(db)
        .await?;
    ensure!(claimed, "somebody else is rebuilding projections of this database");
    Ok(())
}

/// Closes the gate of these projections until the transaction ends, and answers with where they are.
async fn hold(db: &mut PgConnection, names: &[&str]) -> Result<BTreeMap<String, Position>> {
    positions(db, names, "order by projection for update").await
}

async fn positions(
    db: &mut PgConnection,
    names: &[&str],
    how: &str,
) -> Result<BTreeMap<String, Position>> {
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(&format!(
        "select projection, position from public.projection_checkpoint
         where projection = any($1) {how}"
    ))
    .bind(names)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(name, position)| Ok((name, decoded(&position)?))).collect()
}

async fn connect(options: &PgConnectOptions, name: &str) -> Result<PgConnection> {
    let options = options.clone().application_name(name);
    options.connect().await.context("PostgreSQL does not answer")
}
