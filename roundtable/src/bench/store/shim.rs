//! The servers that the store is compared with: the same protocol before nothing, or before a table.
//!
//! They take in the same requests from the same client, over connections that are accepted in the
//! same way, and run in a process of their own like the store.

use std::pin::Pin;

use futures::{Stream, StreamExt, TryStreamExt, stream};
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
            event_store::transport::incoming(listener),
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
        let writes = request.into_inner().map(|write| write.and_then(Write::new));
        Ok(Response::new(match &self.0 {
            Backend::Echo => Box::pin(writes.map_ok(|write| write.answer(0))),
            Backend::Postgres(table) => {
                let table = table.clone();
                let answers = writes.ready_chunks(AT_ONCE).map(move |writes| {
                    let table = table.clone();
                    async move { stream::iter(insert(&table, writes).await) }
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
    let stream = name(options.stream_identifier.as_ref())?;
    let mut rows = Vec::new();
    while let Some(message) = request.message().await? {
        let Some(append_req::Content::ProposedMessage(message)) = message.content else {
            return Err(Status::invalid_argument("only events may follow the options"));
        };
        rows.push(row(&stream, rows.len(), message)?);
    }
    match rows.is_empty() {
        true => Err(Status::invalid_argument("an event is missing")),
        false => Ok(rows),
    }
}

fn only_new_streams() -> Status {
    Status::unimplemented("this server only writes to new streams")
}

fn name(identifier: Option<&shared::StreamIdentifier>) -> Result<String, Status> {
    let name = identifier.and_then(|it| String::from_utf8(it.stream_name.to_vec()).ok());
    name.ok_or_else(|| Status::invalid_argument("the stream has no name"))
}

fn row(stream: &str, revision: usize, message: ProposedMessage) -> Result<Row, Status> {
    use shared::uuid::Value;
    let id = match message.id.and_then(|id| id.value) {
        Some(Value::Structured(id)) => {
            events::id(id.most_significant_bits, id.least_significant_bits)
        }
        _ => return Err(Status::invalid_argument("the id of an event is missing")),
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
    rows: Vec<Row>,
}

impl Write {
    /// The client sends a write in one piece unless it is large.
    fn new(request: BatchAppendReq) -> Result<Self, Status> {
        use batch_append_req::options::ExpectedStreamPosition as E;
        let options = request.options.filter(|_| request.is_final);
        let options = options
            .ok_or_else(|| Status::unimplemented("this server takes a write in one piece"))?;
        let Some(E::NoStream(())) = options.expected_stream_position else {
            return Err(only_new_streams());
        };
        let stream = name(options.stream_identifier.as_ref())?;
        let messages = request.proposed_messages.into_iter().enumerate();
        let rows = messages.map(|(revision, message)| row(&stream, revision, message));
        Ok(Self {
            correlation: request.correlation_id,
            identifier: options.stream_identifier,
            rows: rows.collect::<Result<_, _>>()?,
        })
    }

    fn answer(self, position: u64) -> BatchAppendResp {
        use batch_append_resp::success::{CurrentRevisionOption as R, PositionOption as P};
        let last = self.rows.len() as u64;
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
    writes: Vec<Result<Write, Status>>,
) -> Vec<Result<BatchAppendResp, Status>> {
    let writes: Result<Vec<Write>, Status> = writes.into_iter().collect();
    let mut writes = match writes {
        Ok(writes) => writes,
        Err(status) => return vec![Err(status)],
    };
    let lengths: Vec<usize> = writes.iter().map(|write| write.rows.len()).collect();
    let rows = writes.iter_mut().flat_map(|write| std::mem::take(&mut write.rows)).collect();
    match table.insert_many(rows).await {
        Ok(positions) => {
            let ends = lengths.iter().scan(0, |end, length| {
                *end += length;
                Some(*end)
            });
            let positions = ends.map(|end| positions.get(end.wrapping_sub(1)).copied());
            let answers = writes.into_iter().zip(positions);
            answers.map(|(write, position)| Ok(write.answer(position.unwrap_or(0)))).collect()
        }
        Err(error) => vec![Err(refused(error))],
    }
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
