//! The servers that the store is compared with: the same protocol before nothing, or before a table.
//!
//! They take in the same requests from the same client, over connections that are accepted in the
//! same way, and run in a process of their own like the store.

use std::pin::Pin;

use futures::{Stream, StreamExt, TryStreamExt, future::ready, stream};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    events,
    proto::{
        echo::{
            Nothing,
            echo_server::{Echo, EchoServer},
        },
        server_features::{
            SupportedMethod, SupportedMethods,
            server_features_server::{ServerFeatures, ServerFeaturesServer},
        },
        shared,
        streams::{
            AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp,
            Position, ProposedMessage, ReadReq, ReadResp, TombstoneReq, TombstoneResp, append_req,
            append_resp, batch_append_req, batch_append_resp,
            streams_server::{Streams, StreamsServer},
        },
    },
    table::{Row, Table},
};

/// The most writes of a session that go into the table with one statement.
const AT_ONCE: usize = 512;
/// How many such statements of a session are under way: one is inserted while another is synced.
const STATEMENTS: usize = 2;

/// What is behind the protocol.
#[derive(Clone, Debug)]
pub(super) enum Backend {
    /// Nothing: a write is taken in and answered.
    Echo,
    /// A table of PostgreSQL.
    Postgres(Table),
}

/// Serves until the shutdown.
pub(super) async fn serve(
    backend: Backend,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    event_store::transport::server()
        .add_service(StreamsServer::new(Service(backend)))
        .add_service(ServerFeaturesServer::new(Features))
        .add_service(EchoServer::new(Nobody))
        .serve_with_incoming_shutdown(
            event_store::transport::incoming(listener, None),
            shutdown.cancelled_owned(),
        )
        .await
}

struct Service(Backend);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Streams for Service {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn append(
        &self,
        request: Request<Streaming<AppendReq>>,
    ) -> Result<Response<AppendResp>, Status> {
        let rows = taken_in(request.into_inner()).await?;
        let last = rows.len() as u64;
        let position = match &self.0 {
            Backend::Echo => 0,
            Backend::Postgres(table) => table.insert(rows).await.map_err(refused)?,
        };
        let position = Position { commit_position: position, prepare_position: position };
        let success = append_resp::Success {
            current_revision_option: Some(
                append_resp::success::CurrentRevisionOption::CurrentRevision(last - 1),
            ),
            position_option: Some(append_resp::success::PositionOption::Position(position)),
        };
        Ok(Response::new(AppendResp { result: Some(append_resp::Result::Success(success)) }))
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        let writes = request.into_inner().map_err(Box::new).map(|write| write.and_then(Write::new));
        Ok(Response::new(match &self.0 {
            Backend::Echo => {
                Box::pin(writes.map_ok(|write| write.answer(0)).map_err(|status| *status))
            }
            Backend::Postgres(table) => {
                let table = table.clone();
                let answers = writes.ready_chunks(AT_ONCE).map(move |writes| {
                    let table = table.clone();
                    async move {
                        match insert(&table, writes).await {
                            Ok(answers) => stream::iter(answers).map(Ok).left_stream(),
                            Err(status) => stream::once(ready(Err(*status))).right_stream(),
                        }
                    }
                });
                Box::pin(answers.buffered(STATEMENTS).flatten())
            }
        }))
    }

    async fn read(&self, _: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        Err(only_appends())
    }

    async fn delete(&self, _: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        Err(only_appends())
    }

    async fn tombstone(&self, _: Request<TombstoneReq>) -> Result<Response<TombstoneResp>, Status> {
        Err(only_appends())
    }
}

fn only_appends() -> Status {
    Status::unimplemented("this server is only there to compare appends with")
}

fn refused(error: sqlx::Error) -> Status {
    match &error {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => {
            Status::already_exists("the stream is there")
        }
        _ => Status::internal(error.to_string()),
    }
}

/// The events of one Append, as rows of a new stream.
async fn taken_in(mut request: Streaming<AppendReq>) -> Result<Vec<Row>, Status> {
    let options = match request.message().await?.and_then(|first| first.content) {
        Some(append_req::Content::Options(options)) => options,
        _ => return Err(Status::invalid_argument("the first message must hold the options")),
    };
    let Some(append_req::options::ExpectedStreamRevision::NoStream(())) =
        options.expected_stream_revision
    else {
        return Err(only_new_streams());
    };
    let stream = name(options.stream_identifier.as_ref()).map_err(|status| *status)?;
    let mut rows = Vec::new();
    while let Some(message) = request.message().await? {
        let Some(append_req::Content::ProposedMessage(message)) = message.content else {
            return Err(Status::invalid_argument("only events may follow the options"));
        };
        rows.push(row(&stream, rows.len(), message).map_err(|status| *status)?);
    }
    match rows.is_empty() {
        true => Err(Status::invalid_argument("an event is missing")),
        false => Ok(rows),
    }
}

fn only_new_streams() -> Status {
    Status::unimplemented("this server only writes to new streams")
}

fn name(identifier: Option<&shared::StreamIdentifier>) -> Result<String, Box<Status>> {
    let name = identifier.and_then(|it| String::from_utf8(it.stream_name.to_vec()).ok());
    name.ok_or_else(|| Box::new(Status::invalid_argument("the stream has no name")))
}

fn row(stream: &str, revision: usize, message: ProposedMessage) -> Result<Row, Box<Status>> {
    use shared::uuid::Value;
    let id = match message.id.and_then(|id| id.value) {
        Some(Value::Structured(id)) => {
            events::id(id.most_significant_bits, id.least_significant_bits)
        }
        _ => return Err(Box::new(Status::invalid_argument("the id of an event is missing"))),
    };
    let field = |name: &[u8]| {
        let entry = message.metadata.iter().find(|entry| entry.key == name);
        String::from_utf8_lossy(entry.map_or(&b""[..], |entry| &entry.value)).into_owned()
    };
    Ok(Row {
        stream: stream.to_owned(),
        revision: i64::try_from(revision).expect("a request does not hold so many events"),
        id,
        kind: field(b"type"),
        content_type: field(b"content-type"),
        metadata: message.custom_metadata,
        data: message.data,
    })
}

/// One write of a batch session.
struct Write {
    correlation: Option<shared::Uuid>,
    identifier: Option<shared::StreamIdentifier>,
    /// How many events it has; they themselves go into the table before it is answered.
    rows: usize,
    events: Vec<Row>,
}

impl Write {
    /// The client sends a write in one piece unless it is large.
    fn new(request: BatchAppendReq) -> Result<Self, Box<Status>> {
        use batch_append_req::options::ExpectedStreamPosition as E;
        let options = request.options.filter(|_| request.is_final);
        let options = options
            .ok_or_else(|| Box::new(Status::unimplemented("a write has to come in one piece")))?;
        let Some(E::NoStream(())) = options.expected_stream_position else {
            return Err(Box::new(only_new_streams()));
        };
        let stream = name(options.stream_identifier.as_ref())?;
        let messages = request.proposed_messages.into_iter().enumerate();
        let events = messages.map(|(revision, message)| row(&stream, revision, message));
        let events: Vec<Row> = events.collect::<Result<_, _>>()?;
        let rows = events.len();
        Ok(Self {
            correlation: request.correlation_id,
            identifier: options.stream_identifier,
            rows,
            events,
        })
    }

    fn answer(self, position: u64) -> BatchAppendResp {
        use batch_append_resp::success::{CurrentRevisionOption as R, PositionOption as P};
        let last = self.rows as u64;
        let position =
            shared::AllStreamPosition { commit_position: position, prepare_position: position };
        let success = batch_append_resp::Success {
            current_revision_option: Some(R::CurrentRevision(last.saturating_sub(1))),
            position_option: Some(P::Position(position)),
        };
        BatchAppendResp {
            correlation_id: self.correlation,
            stream_identifier: self.identifier,
            result: Some(batch_append_resp::Result::Success(success)),
        }
    }
}

/// Inserts writes with one statement; one that is refused ends the session with all of them.
async fn insert(
    table: &Table,
    writes: Vec<Result<Write, Box<Status>>>,
) -> Result<Vec<BatchAppendResp>, Box<Status>> {
    let mut writes: Vec<Write> = writes.into_iter().collect::<Result<_, _>>()?;
    let lengths: Vec<usize> = writes.iter().map(|write| write.rows).collect();
    let rows = writes.iter_mut().flat_map(|write| std::mem::take(&mut write.events)).collect();
    let positions = table.insert_many(rows).await.map_err(|error| Box::new(refused(error)))?;
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    let last = ends.map(|end| end.checked_sub(1).and_then(|last| positions.get(last).copied()));
    let answers = writes.into_iter().zip(last);
    Ok(answers.map(|(write, position)| write.answer(position.unwrap_or(0))).collect())
}

struct Features;

#[tonic::async_trait]
impl ServerFeatures for Features {
    /// The client wants to see this one before it opens a batch session.
    async fn get_supported_methods(
        &self,
        _: Request<()>,
    ) -> Result<Response<SupportedMethods>, Status> {
        Ok(Response::new(SupportedMethods {
            methods: vec![SupportedMethod {
                method_name: "batchappend".to_owned(),
                service_name: "event_store.client.streams.streams".to_owned(),
                features: vec!["deadline_duration".to_owned()],
            }],
            event_store_server_version: "25.1.0".to_owned(),
        }))
    }
}

struct Nobody;

#[tonic::async_trait]
impl Echo for Nobody {
    async fn say(&self, _: Request<Nothing>) -> Result<Response<Nothing>, Status> {
        Ok(Response::new(Nothing {}))
    }
}
