//! The second version of appending: transactions over several streams, streamed in or at once.
//!
//! Readers of the first version see these records as events: the schema's name is the type, and the
//! properties are the custom metadata, as JSON.

mod fault;
mod record;

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::{
    fault::Fault,
    record::{Record, number},
};
use super::{
    convert,
    proto::{
        sessions::{
            AppendRecordsRequest, AppendRecordsResponse, AppendRequest, AppendResponse,
            AppendSessionResponse, ConsistencyCheck, StreamRevision, consistency_check,
            streams_service_server::StreamsService,
        },
        shared,
    },
};
use crate::{
    access::{Gate, Operation, Visit},
    engine::Engine,
    expected::Expected,
    transaction::{Check, Last, State, Transaction},
};

/// The most records of one transaction: with empty ones, bytes alone would not bound the memory.
const MAX_RECORDS: usize = 1 << 18;
/// The most checks of one transaction.
const MAX_CHECKS: usize = 1 << 12;

/// The service.
pub(crate) struct Service {
    pub(crate) engine: Arc<Engine>,
    pub(crate) access: Arc<Gate>,
    pub(crate) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl StreamsService for Service {
    async fn append_session(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<AppendSessionResponse>, Status> {
        let visit = self.access.admit(request.metadata()).await?;
        let session = session(&self.engine, &visit, request.into_inner());
        tokio::select! {
            answer = session => answer.map(Response::new),
            // A client that never ends its session must not hold up the end of the server.
            () = self.shutdown.cancelled() => Err(super::fault::Fault::Stopping.into()),
        }
    }

    async fn append_records(
        &self,
        request: Request<AppendRecordsRequest>,
    ) -> Result<Response<AppendRecordsResponse>, Status> {
        let visit = self.access.admit(request.metadata()).await?;
        Ok(Response::new(records(&self.engine, &visit, request.into_inner()).await?))
    }
}

/// Takes in one request for each stream, then writes all of them or nothing.
async fn session(
    engine: &Engine,
    visit: &Visit,
    mut requests: Streaming<AppendRequest>,
) -> Result<AppendSessionResponse, Status> {
    let mut intake = Intake::new(engine);
    while let Some(request) = requests.message().await? {
        let stream = stream_name(request.stream)?;
        visit.check(Operation::Write(&stream)).await?;
        let expected = expected(request.expected_revision)?;
        if request.records.is_empty() {
            return Err(Fault::bad("a request of the session has no records").into());
        }
        let target = intake
            .transaction
            .target(stream.clone(), expected)
            .ok_or_else(|| Fault::NamedTwice { stream: stream.clone() })?;
        for record in request.records {
            // Kept until the session ends: a copy, so that it does not hold on to its message.
            intake.add(target, &stream, Record::take(record)?.compact())?;
        }
    }
    // The session may have taken its time.
    for stream in intake.transaction.streams() {
        visit.check(Operation::Write(stream)).await?;
    }
    let last = intake.write().await?;
    Ok(AppendSessionResponse {
        position: last.iter().map(|last| number(last.position)).max().unwrap_or_default(),
        output: last.into_iter().map(output).collect(),
    })
}

/// Writes all records if all checks hold.
async fn records(
    engine: &Engine,
    visit: &Visit,
    request: AppendRecordsRequest,
) -> Result<AppendRecordsResponse, Fault> {
    if request.checks.len() > MAX_CHECKS {
        return Err(Fault::bad(format!("more than {MAX_CHECKS} checks")));
    }
    let mut intake = Intake::new(engine);
    for mut record in request.records {
        let stream = stream_name(std::mem::take(&mut record.stream))?;
        let record = Record::take(record)?;
        let target = match intake.transaction.target_of(&stream) {
            Some(target) => target,
            None => {
                visit.check(Operation::Write(&stream)).await.map_err(Fault::First)?;
                let named = intake.transaction.target(stream.clone(), Expected::Any);
                named.expect("it was not named before")
            }
        };
        intake.add(target, &stream, record)?;
    }
    for wanted in request.checks {
        let check = check(wanted)?;
        // What a check finds out is what a reader of the stream would.
        if intake.transaction.target_of(&check.stream).is_none() {
            visit.check(Operation::Read(&check.stream)).await.map_err(Fault::First)?;
        }
        intake.transaction.check(check);
    }
    let last = intake.write().await?;
    Ok(AppendRecordsResponse {
        position: last.iter().map(|last| number(last.position)).max().unwrap_or_default(),
        revisions: last.into_iter().map(revision).collect(),
    })
}

/// A transaction that is taken in, within its limits.
struct Intake<'a> {
    engine: &'a Engine,
    transaction: Transaction,
    records: usize,
    size: usize,
}

impl<'a> Intake<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine, transaction: Transaction::default(), records: 0, size: 0 }
    }

    fn add(&mut self, target: usize, stream: &Bytes, record: Record) -> Result<(), Fault> {
        let config = &self.engine.config;
        let size = record.size();
        if size > config.max_event_bytes {
            let (stream, id, most) = (stream.clone(), record.id(), config.max_event_bytes);
            return Err(Fault::RecordTooBig { stream, id, size, most });
        }
        self.records += 1;
        self.size += size;
        if self.size > config.max_append_bytes {
            let (size, most) = (self.size, config.max_append_bytes);
            return Err(Fault::TransactionTooBig { size, most });
        }
        if self.records > MAX_RECORDS {
            return Err(Fault::bad(format!("more than {MAX_RECORDS} records")));
        }
        self.transaction.write(target, record.into_event());
        Ok(())
    }

    async fn write(self) -> Result<Vec<Last>, Fault> {
        if self.records == 0 {
            return Err(Fault::Empty);
        }
        self.engine.transact(self.transaction).await.map_err(Fault::from)
    }
}

fn stream_name(name: String) -> Result<Bytes, Fault> {
    let identifier = shared::StreamIdentifier { stream_name: name.into() };
    convert::stream_name(Some(identifier)).map_err(Fault::First)
}

fn expected(revision: Option<i64>) -> Result<Expected, Fault> {
    match revision {
        Some(-1) => Ok(Expected::NoStream),
        None | Some(-2) => Ok(Expected::Any),
        Some(-4) => Ok(Expected::StreamExists),
        Some(other) => u64::try_from(other)
            .map(Expected::Exact)
            .map_err(|_| Fault::bad(format!("the expected revision {other} has no meaning"))),
    }
}

fn check(check: ConsistencyCheck) -> Result<Check, Fault> {
    let Some(consistency_check::Type::StreamState(wanted)) = check.r#type else {
        return Err(Fault::bad("a check has no type that is known"));
    };
    let state = match wanted.expected_state {
        -1 => State::NoStream,
        -2 => State::Any,
        -4 => State::Exists,
        -5 => State::SoftDeleted,
        -6 => State::Tombstoned,
        other => u64::try_from(other)
            .map(State::Exact)
            .map_err(|_| Fault::bad(format!("the expected state {other} has no meaning")))?,
    };
    Ok(Check { stream: stream_name(wanted.stream)?, state })
}

fn output(last: Last) -> AppendResponse {
    AppendResponse {
        stream: text(&last.stream),
        stream_revision: number(last.revision),
        position: Some(number(last.position)),
    }
}

fn revision(last: Last) -> StreamRevision {
    StreamRevision { stream: text(&last.stream), revision: number(last.revision) }
}

fn text(stream: &Bytes) -> String {
    String::from_utf8_lossy(stream).into_owned()
}
