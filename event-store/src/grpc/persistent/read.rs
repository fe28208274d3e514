//! Read: events go out as the consumer has room for them, and what it makes of them comes in.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::stream;
use tonic::{Request, Status, Streaming, metadata::MetadataMap};

use super::{Service, fault, request};
use crate::{
    access::Visit,
    grpc::{
        access::Watch,
        convert::{self, IdForm},
        fault::Fault,
        proto::{
            persistent::{ReadReq, ReadResp, read_req, read_resp},
            streams::read_req::uuid_option::Content as UuidContent,
        },
        streams::Answers,
    },
    persistent::{Event, EventSource, GroupId, Nack, Peer, Said, Subscription, Voice},
};

/// The longest reason that is kept of a refused event, in characters.
const REASON: usize = 1000;

/// Subscribes, confirms, and then sends what there is until one side ends it.
pub(super) async fn read(
    service: &Service,
    request: Request<Streaming<ReadReq>>,
) -> Result<Answers<ReadResp>, Status> {
    let visit = service.access.admit(request.metadata()).await?;
    let peer = peer(&request, &visit);
    let mut requests = request.into_inner();
    let options = match requests.message().await?.and_then(|first| first.content) {
        Some(read_req::Content::Options(options)) => options,
        _ => return Err(Fault::bad("the first message must hold the options").into()),
    };
    let (id, buffer_size, form) = parse(options)?;
    let source = match &id.source {
        EventSource::Stream(name) => Some(Bytes::copy_from_slice(name.as_bytes())),
        EventSource::All => None,
    };
    let watch = Watch::begin(visit, &service.engine, source).await?;
    let subscribed = service.subsystem.subscribe(&id, buffer_size, peer).await;
    let subscription = subscribed.map_err(|problem| fault::of(problem, &id))?;
    let confirmation =
        read_resp::SubscriptionConfirmation { subscription_id: id.subscription_id() };
    let first = content(read_resp::Content::SubscriptionConfirmation(confirmation));
    tokio::spawn(listen(requests, subscription.voice()));
    let state = (subscription, watch, id);
    let events = stream::try_unfold(state, move |(mut subscription, mut watch, id)| async move {
        let event = next(&mut subscription, &mut watch, &id, form).await?;
        Ok(Some((event, (subscription, watch, id))))
    });
    Ok(Box::pin(futures::StreamExt::chain(stream::iter([Ok(first)]), events)))
}

async fn next(
    subscription: &mut Subscription,
    watch: &mut Watch,
    id: &GroupId,
    form: IdForm,
) -> Result<ReadResp, Status> {
    match subscription.next().await {
        Ok(Event { resolved, retries }) => {
            let resolved = watch.admit(resolved).await?;
            Ok(message(Event { resolved, retries }, form))
        }
        Err(ended) => Err(fault::of_end(ended, id).into()),
    }
}

/// Passes on what the consumer says. When it has nothing more to say, the subscription goes on.
async fn listen(mut requests: Streaming<ReadReq>, voice: Voice) {
    loop {
        let said = match requests.message().await {
            Ok(Some(request)) => said(request).unwrap_or_else(Said::Nonsense),
            Ok(None) => break,
            // What is not heard would be sent again for ever.
            Err(status) => Said::Nonsense(status.message().to_owned()),
        };
        let nonsense = matches!(said, Said::Nonsense(_));
        if !voice.say(said).await || nonsense {
            break;
        }
    }
}

fn said(request: ReadReq) -> Result<Said, String> {
    let (ids, nack) = match request.content {
        Some(read_req::Content::Ack(ack)) => (ack.ids, None),
        Some(read_req::Content::Nack(nack)) => {
            let action = match nack.action {
                1 => Nack::Park,
                0 | 2 => Nack::Retry,
                3 => Nack::Skip,
                4 => Nack::Stop,
                _ => return Err("the action is unknown".to_owned()),
            };
            let reason = nack.reason.chars().take(REASON).collect();
            (nack.ids, Some((action, reason)))
        }
        Some(read_req::Content::Options(_)) | None => {
            return Err("only what became of events may follow the options".to_owned());
        }
    };
    let ids: Result<_, _> = ids.into_iter().map(|id| convert::id_from(Some(id))).collect();
    let ids = ids.map_err(|_| "an id is not a UUID".to_owned())?;
    Ok(match nack {
        Some((action, reason)) => Said::Refused(ids, action, reason),
        None => Said::Done(ids),
    })
}

fn parse(options: read_req::Options) -> Result<(GroupId, usize, IdForm), Fault> {
    use read_req::options::StreamOption as S;
    let stream = match options.stream_option {
        Some(S::StreamIdentifier(stream)) => Some(stream),
        Some(S::All(())) => None,
        None => return Err(Fault::bad("stream and all are both missing")),
    };
    let id = request::known(stream, options.group_name)?;
    let buffer_size = usize::try_from(options.buffer_size).unwrap_or(0);
    if buffer_size == 0 {
        return Err(Fault::bad("the buffer size must be greater than 0"));
    }
    let form = match options.uuid_option.and_then(|option| option.content) {
        Some(UuidContent::String(())) => IdForm::Text,
        Some(UuidContent::Structured(())) | None => IdForm::Structured,
    };
    Ok((id, buffer_size, form))
}

/// Who subscribes. In insecure mode its name is shown as it was given, and proves nothing.
fn peer<T>(request: &Request<T>, visit: &Visit) -> Peer {
    let metadata = request.metadata();
    Peer {
        from: request.remote_addr().map(|address| address.to_string()).unwrap_or_default(),
        user: visit
            .login()
            .map(str::to_owned)
            .or_else(|| user(metadata))
            .unwrap_or_else(|| "anonymous".to_owned()),
        connection: text(metadata, "connection-name").unwrap_or_default().to_owned(),
    }
}

fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    metadata.get(key)?.to_str().ok()
}

fn user(metadata: &MetadataMap) -> Option<String> {
    let encoded = text(metadata, "authorization")?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(user, _)| user.to_owned())
}

fn message(event: Event, form: IdForm) -> ReadResp {
    use read_resp::read_event::{Count, Position};
    let Event { resolved, retries } = event;
    let original = resolved.link.as_ref().or(resolved.event.as_ref());
    let position = original.map(|record| record.position);
    content(read_resp::Content::Event(read_resp::ReadEvent {
        event: resolved.event.map(|record| convert::recorded(record, form)),
        link: resolved.link.map(|record| convert::recorded(record, form)),
        position: Some(position.map_or(Position::NoPosition(()), Position::CommitPosition)),
        count: Some(Count::RetryCount(i32::try_from(retries).unwrap_or(i32::MAX))),
    }))
}

fn content(content: read_resp::Content) -> ReadResp {
    ReadResp { content: Some(content) }
}
