//! What calls about groups ask for, checked.

use crate::{
    grpc::{
        convert,
        fault::Fault,
        proto::{
            persistent::{
                self as wire, AllOptions, DeleteReq, GetInfoReq, GroupOptions, ListReq,
                ReplayParkedReq, StreamOptions,
            },
            shared::StreamIdentifier,
            streams::read_req,
        },
    },
    persistent::{
        EventSource, FilterRule, GroupId, Problem, Settings, StartFrom, Strategy, Subject,
    },
};

/// How long a consumer may take when the client does not say, in milliseconds.
const MESSAGE_TIMEOUT: u32 = 30_000;
/// How often a checkpoint is looked for when the client does not say, in milliseconds.
const CHECKPOINT_AFTER: u32 = 2_000;
/// Old clients count time in these, so many in a millisecond.
const TICKS: i64 = 10_000;

/// A group that is to be made or changed.
pub(super) struct Wanted {
    pub(super) id: GroupId,
    pub(super) settings: Settings,
    pub(super) filter: Option<FilterRule>,
}

pub(super) fn group(options: Option<GroupOptions>) -> Result<Wanted, Fault> {
    use wire::group_options::StreamOption;
    let options = options.ok_or_else(|| Fault::bad("the options are missing"))?;
    let settings = options.settings.ok_or_else(|| Fault::bad("the settings are missing"))?;
    let (source, start_from, filter) = match options.stream_option {
        Some(StreamOption::Stream(stream)) => stream_source(stream)?,
        Some(StreamOption::All(all)) => whole_log(all)?,
        // Old clients name the stream beside the choice, and the start among the settings.
        None => {
            let name = convert::stream_name(options.stream_identifier)?;
            (stream_named(&name), revision(settings.revision), None)
        }
    };
    let id = GroupId { source, group: options.group_name };
    let settings =
        checked(&settings, start_from).map_err(|problem| super::fault::of(problem, &id))?;
    Ok(Wanted { id, settings, filter })
}

type SourceWanted = (EventSource, StartFrom, Option<FilterRule>);

fn stream_source(stream: StreamOptions) -> Result<SourceWanted, Fault> {
    use wire::stream_options::RevisionOption as R;
    let name = convert::stream_name(stream.stream_identifier)?;
    let start_from = match stream.revision_option {
        Some(R::Revision(at)) => revision(at),
        Some(R::Start(())) => StartFrom::Start,
        Some(R::End(())) => StartFrom::End,
        None => return Err(Fault::bad("the revision is missing")),
    };
    Ok((stream_named(&name), start_from, None))
}

/// The name was checked to be UTF-8.
fn stream_named(name: &[u8]) -> EventSource {
    EventSource::Stream(String::from_utf8_lossy(name).into_owned())
}

/// Some clients write the ends as numbers.
fn revision(at: u64) -> StartFrom {
    match at {
        0 => StartFrom::Start,
        u64::MAX => StartFrom::End,
        at => StartFrom::At(at),
    }
}

fn whole_log(all: AllOptions) -> Result<SourceWanted, Fault> {
    use wire::all_options::{AllOption as A, FilterOption as F};
    let start_from = match all.all_option {
        Some(A::Position(position)) => revision(position.commit_position),
        Some(A::Start(())) => StartFrom::Start,
        Some(A::End(())) => StartFrom::End,
        None => return Err(Fault::bad("the position is missing")),
    };
    let filter = match all.filter_option {
        Some(F::Filter(filter)) => Some(filter_rule(filter)?),
        Some(F::NoFilter(())) | None => None,
    };
    Ok((EventSource::All, start_from, filter))
}

fn filter_rule(options: read_req::FilterOptions) -> Result<FilterRule, Fault> {
    use read_req::filter_options::Filter as F;
    let (on, expression) = match options.filter {
        Some(F::StreamIdentifier(expression)) => (Subject::Stream, expression),
        Some(F::EventType(expression)) => (Subject::Type, expression),
        None => return Err(Fault::bad("the filter is missing")),
    };
    Ok(FilterRule { on, regex: expression.regex, prefixes: expression.prefix })
}

fn checked(settings: &wire::Settings, start_from: StartFrom) -> Result<Settings, Problem> {
    use wire::settings::{CheckpointAfter, MessageTimeout};
    let message_timeout = match settings.message_timeout {
        Some(MessageTimeout::MessageTimeoutMs(value)) => count("message timeout", value.into())?,
        Some(MessageTimeout::MessageTimeoutTicks(value)) => {
            count("message timeout", value / TICKS)?
        }
        None => MESSAGE_TIMEOUT,
    };
    let checkpoint_after = match settings.checkpoint_after {
        Some(CheckpointAfter::CheckpointAfterMs(value)) => {
            count("checkpoint interval", value.into())?
        }
        Some(CheckpointAfter::CheckpointAfterTicks(value)) => {
            count("checkpoint interval", value / TICKS)?
        }
        None => CHECKPOINT_AFTER,
    };
    let at = |what, value: i32| count(what, value.into());
    Ok(Settings {
        start_from,
        resolve_links: settings.resolve_links,
        extra_statistics: settings.extra_statistics,
        message_timeout,
        max_retry_count: at("retry count", settings.max_retry_count)?,
        checkpoint_after,
        min_checkpoint_count: at("least checkpoint count", settings.min_checkpoint_count)?,
        max_checkpoint_count: at("most checkpoint count", settings.max_checkpoint_count)?,
        max_subscriber_count: at("subscriber count", settings.max_subscriber_count)?,
        live_buffer_size: at("live buffer size", settings.live_buffer_size)?,
        read_batch_size: at("read batch size", settings.read_batch_size)?,
        history_buffer_size: at("history buffer size", settings.history_buffer_size)?,
        strategy: strategy(settings)?,
    })
}

fn count(what: &str, value: i64) -> Result<u32, Problem> {
    match u32::try_from(value) {
        Ok(count) if i32::try_from(count).is_ok() => Ok(count),
        _ => Err(Problem::Bad(format!("the {what} cannot be {value}"))),
    }
}

fn strategy(settings: &wire::Settings) -> Result<Strategy, Problem> {
    let name = &settings.consumer_strategy;
    let strategy = match (&name[..], settings.named_consumer_strategy) {
        ("", 0) => Some(Strategy::DispatchToSingle),
        ("", 1) => Some(Strategy::RoundRobin),
        ("", 2) => Some(Strategy::Pinned),
        (name, _) => Strategy::named(name),
    };
    strategy.ok_or_else(|| Problem::Failed(format!("Consumer strategy {name} does not exist.")))
}

pub(super) fn to_delete(request: DeleteReq) -> Result<GroupId, Fault> {
    use wire::delete_req::options::StreamOption as S;
    let options = request.options.ok_or_else(|| Fault::bad("the options are missing"))?;
    let stream = match options.stream_option {
        Some(S::StreamIdentifier(stream)) => Some(stream),
        Some(S::All(())) => None,
        None => return Err(Fault::bad("stream and all are both missing")),
    };
    known(stream, options.group_name)
}

pub(super) fn to_tell(request: GetInfoReq) -> Result<GroupId, Fault> {
    use wire::get_info_req::options::StreamOption as S;
    let options = request.options.ok_or_else(|| Fault::bad("the options are missing"))?;
    let stream = match options.stream_option {
        Some(S::StreamIdentifier(stream)) => Some(stream),
        Some(S::All(())) => None,
        None => return Err(Fault::bad("stream and all are both missing")),
    };
    known(stream, options.group_name)
}

/// The group, and the revision of the parked messages to stop before.
pub(super) fn to_replay(request: ReplayParkedReq) -> Result<(GroupId, Option<u64>), Fault> {
    use wire::replay_parked_req::options::{StopAtOption, StreamOption as S};
    let options = request.options.ok_or_else(|| Fault::bad("the options are missing"))?;
    let stream = match options.stream_option {
        Some(S::StreamIdentifier(stream)) => Some(stream),
        Some(S::All(())) => None,
        None => return Err(Fault::bad("stream and all are both missing")),
    };
    let stop_at = match options.stop_at_option {
        Some(StopAtOption::StopAt(at)) => Some(
            u64::try_from(at).map_err(|_| Fault::bad("a replay cannot stop before it begins"))?,
        ),
        Some(StopAtOption::NoLimit(())) | None => None,
    };
    Ok((known(stream, options.group_name)?, stop_at))
}

/// The source whose groups are wanted, or `None` for all groups.
pub(super) fn to_list(request: ListReq) -> Result<Option<EventSource>, Fault> {
    use wire::list_req::{options::ListOption, stream_option::StreamOption as S};
    let option = request.options.and_then(|options| options.list_option);
    let stream = match option {
        Some(ListOption::ListAllSubscriptions(())) => return Ok(None),
        Some(ListOption::ListForStream(stream)) => stream.stream_option,
        None => return Err(Fault::bad("it is not said which subscriptions are wanted")),
    };
    match stream {
        Some(S::Stream(stream)) => known_source(Some(stream)).map(Some),
        Some(S::All(())) => Ok(Some(EventSource::All)),
        None => Err(Fault::bad("stream and all are both missing")),
    }
}

/// The group of a name; without a stream it follows the whole log.
pub(super) fn known(stream: Option<StreamIdentifier>, group: String) -> Result<GroupId, Fault> {
    Ok(GroupId { source: known_source(stream)?, group })
}

/// Some clients name the whole log like a stream.
fn known_source(stream: Option<StreamIdentifier>) -> Result<EventSource, Fault> {
    let Some(identifier) = stream else { return Ok(EventSource::All) };
    if identifier.stream_name == "$all" {
        return Ok(EventSource::All);
    }
    Ok(stream_named(&convert::stream_name(Some(identifier))?))
}
