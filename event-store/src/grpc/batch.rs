//! BatchAppend: many writes over one call, taken in without waiting for each other's sync.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{
    convert::{self, compact},
    deadline,
    fault::Fault,
    proto::{
        shared,
        streams::{BatchAppendReq, BatchAppendResp, batch_append_req, batch_append_resp},
    },
};
use crate::{
    access::{Operation, Visit},
    committer::{Action, Answer, Written},
    engine::Engine,
    expected::Expected,
    log::frame::Proposed,
};

/// Writes of one session that may wait for their answer.
const IN_FLIGHT: usize = 4096;
/// Writes of one session that may be unfinished.
const UNFINISHED: usize = 1024;

/// A write whose chunks are still coming in.
struct Open {
    identifier: Option<shared::StreamIdentifier>,
    target: Result<(Bytes, Expected), Fault>,
    deadline: Option<Instant>,
    events: Vec<Proposed>,
    size: usize,
}

/// A write that was handed over; answers come in the order of the writes.
pub(crate) struct Waiting {
    correlation: Option<shared::Uuid>,
    identifier: Option<shared::StreamIdentifier>,
    outcome: Outcome,
}

enum Outcome {
    Known(Fault),
    Pending(Bytes, oneshot::Receiver<Answer>),
}

/// Reads the session's writes in a task of their own and returns what waits for answers.
pub(crate) fn take_in(
    engine: Arc<Engine>,
    visit: Visit,
    requests: Streaming<BatchAppendReq>,
    until: Option<Instant>,
    shutdown: CancellationToken,
) -> mpsc::Receiver<Result<Waiting, Status>> {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(async move {
        let session = Session { engine, visit, open: HashMap::new(), size: 0, events: 0 };
        let ended = tokio::select! {
            ended = session.run(requests, &sender) => ended,
            () = shutdown.cancelled() => Err(Fault::Stopping.into()),
            () = deadline::reached(until) => {
                Err(Status::deadline_exceeded("the time of the session is up"))
            }
            // The client has given the call up, and nothing more may come to tell us so.
            () = sender.closed() => Ok(()),
        };
        if let Err(status) = ended {
            // When the client has gone there is nobody to tell.
            let _ = sender.send(Err(status)).await;
        }
    });
    receiver
}

/// Waits until the write is durable and makes its answer.
pub(crate) async fn answer(waiting: Waiting) -> BatchAppendResp {
    let result = match waiting.outcome {
        Outcome::Known(fault) => Err(fault),
        Outcome::Pending(stream, answer) => match answer.await {
            Ok(Ok(written)) => Ok(written),
            Ok(Err(refusal)) => Err(Fault::refused(refusal, &stream)),
            Err(_) => Err(Fault::Stopping),
        },
    };
    BatchAppendResp {
        correlation_id: waiting.correlation,
        // Clients insist on an identifier, even when the request had none.
        stream_identifier: Some(waiting.identifier.unwrap_or_default()),
        result: Some(match result {
            Ok(written) => batch_append_resp::Result::Success(success(written)),
            Err(fault) => batch_append_resp::Result::Error(fault.into_batch()),
        }),
    }
}

struct Session {
    engine: Arc<Engine>,
    visit: Visit,
    open: HashMap<Uuid, Open>,
    /// The bytes of all writes that are not final yet.
    size: usize,
    /// The number of their events.
    events: usize,
}

impl Session {
    async fn run(
        mut self,
        mut requests: Streaming<BatchAppendReq>,
        sender: &mpsc::Sender<Result<Waiting, Status>>,
    ) -> Result<(), Status> {
        while let Some(request) = requests.message().await? {
            let correlation = request.correlation_id.clone();
            self.look(&request).await?;
            let Some(open) = self.chunk(request)? else { continue };
            let identifier = open.identifier.clone();
            let outcome = self.hand_over(open).await;
            if sender.send(Ok(Waiting { correlation, identifier, outcome })).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Keeps nothing in memory for a caller who may not write it.
    async fn look(&mut self, request: &BatchAppendReq) -> Result<(), Fault> {
        let identifier = request.options.as_ref().and_then(|it| it.stream_identifier.as_ref());
        match identifier {
            Some(identifier) if !request.is_final => {
                self.visit.check(Operation::Write(&identifier.stream_name)).await
            }
            _ => Ok(()),
        }
    }

    /// Adds a chunk to its write, and returns the write when it is whole.
    fn chunk(&mut self, request: BatchAppendReq) -> Result<Option<Open>, Fault> {
        let id = convert::id_from(request.correlation_id)?;
        let mut open = match (self.open.remove(&id), request.options) {
            (Some(open), _) => open,
            (None, Some(options)) => Open::new(options),
            (None, None) => return Err(Fault::bad("the first chunk must hold the options")),
        };
        self.size -= open.size;
        self.events -= open.events.len();
        let most = self.engine.config.max_append_bytes;
        for message in request.proposed_messages {
            if open.target.is_err() {
                break;
            }
            match convert::proposed(message, &self.engine.config) {
                Ok(event) => {
                    open.size += convert::weight(&event);
                    // What waits for more chunks must not hold on to the whole of this one.
                    open.events.push(if request.is_final { event } else { compact(&event) });
                }
                Err(fault) => open.refuse(fault),
            }
            let count = self.events + open.events.len();
            if self.size + open.size > most || count > convert::MAX_EVENTS {
                open.refuse(Fault::AppendTooBig { most });
            }
        }
        if request.is_final {
            return Ok(Some(open));
        }
        if self.open.len() == UNFINISHED {
            return Err(Fault::bad(format!("more than {UNFINISHED} writes are unfinished")));
        }
        self.size += open.size;
        self.events += open.events.len();
        self.open.insert(id, open);
        Ok(None)
    }

    async fn hand_over(&self, open: Open) -> Outcome {
        let (stream, expected) = match open.target {
            Ok(target) => target,
            Err(fault) => return Outcome::Known(fault),
        };
        if let Err(fault) = self.visit.check(Operation::Write(&stream)).await {
            return Outcome::Known(fault);
        }
        let submit = self.engine.submit(stream.clone(), expected, Action::Append(open.events));
        let submitted = match open.deadline {
            Some(deadline) if deadline <= Instant::now() => return Outcome::Known(Fault::Timeout),
            // When it is given up here, it waited for room in the queue and was not put there.
            Some(deadline) => match timeout_at(deadline, submit).await {
                Ok(submitted) => submitted,
                Err(_) => return Outcome::Known(Fault::Timeout),
            },
            None => submit.await,
        };
        match submitted {
            Ok(answer) => Outcome::Pending(stream, answer),
            Err(refusal) => Outcome::Known(Fault::refused(refusal, &stream)),
        }
    }
}

impl Open {
    fn new(mut options: batch_append_req::Options) -> Self {
        let deadline = deadline::of_write(options.deadline_option.take());
        // The name stays until the answer is sent: a copy lets go of the message.
        let stream = convert::stream_name(options.stream_identifier.take())
            .map(|name| Bytes::copy_from_slice(&name));
        let identifier = stream.as_ref().ok().cloned().map(convert::identifier);
        let target = stream.and_then(|stream| Ok((stream, expected(options)?)));
        Self { identifier, target, deadline, events: Vec::new(), size: 0 }
    }

    fn refuse(&mut self, fault: Fault) {
        self.target = Err(fault);
        self.events.clear();
        self.size = 0;
    }
}

fn expected(options: batch_append_req::Options) -> Result<Expected, Fault> {
    use batch_append_req::options::ExpectedStreamPosition as E;
    Ok(match options.expected_stream_position {
        Some(E::StreamPosition(revision)) => Expected::Exact(revision),
        Some(E::NoStream(())) => Expected::NoStream,
        Some(E::Any(())) => Expected::Any,
        Some(E::StreamExists(())) => Expected::StreamExists,
        None => return Err(Fault::bad("the expected revision is missing")),
    })
}

fn success(written: Written) -> batch_append_resp::Success {
    use batch_append_resp::success::{CurrentRevisionOption as R, PositionOption as P};
    let position = written.position.map(|position| shared::AllStreamPosition {
        commit_position: position,
        prepare_position: position,
    });
    batch_append_resp::Success {
        current_revision_option: Some(written.revision.map_or(R::NoStream(()), R::CurrentRevision)),
        position_option: Some(position.map_or(P::NoPosition(()), P::Position)),
    }
}
