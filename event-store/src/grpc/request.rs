//! What a read asks for, checked.

use bytes::Bytes;

use super::{
    convert::{self, IdForm},
    fault::Fault,
    proto::streams::{ReadReq, read_req},
};
use crate::filter::{Filter, Subject};

/// A read or a subscription.
pub(crate) struct ReadRequest {
    pub(crate) source: Source,
    pub(crate) wanted: Wanted,
    pub(crate) backwards: bool,
    pub(crate) resolve_links: bool,
    pub(crate) id_form: IdForm,
    /// From 1 on, clients understand where a stream begins and ends.
    pub(crate) compatibility: u32,
}

pub(crate) enum Source {
    Stream { name: Bytes, from: From },
    All { from: From, filter: Option<Filtered> },
}

pub(crate) enum Wanted {
    Count(u64),
    Subscription,
}

/// A revision or a position.
#[derive(Clone, Copy)]
pub(crate) enum From {
    Start,
    At(u64),
    End,
}

/// A filter and after how many events considered a checkpoint is due.
pub(crate) struct Filtered {
    pub(crate) filter: Filter,
    pub(crate) checkpoint_every: u64,
}

/// The longest expression of a filter, in bytes.
const LONGEST_REGEX: usize = 8 << 10;
/// The most prefixes of a filter.
const MOST_PREFIXES: usize = 1000;

/// The window that stands for a count in a filter.
const DEFAULT_WINDOW: u64 = 32;

pub(crate) fn parse(request: ReadReq) -> Result<ReadRequest, Fault> {
    use read_req::{
        options::{CountOption, FilterOption, StreamOption},
        uuid_option::Content as UuidContent,
    };
    let options = request.options.ok_or_else(|| Fault::bad("the options are missing"))?;
    let backwards = match options.read_direction {
        0 => false,
        1 => true,
        _ => return Err(Fault::bad("the direction is unknown")),
    };
    let wanted = match options.count_option {
        Some(CountOption::Count(count)) => Wanted::Count(count),
        Some(CountOption::Subscription(_)) if !backwards => Wanted::Subscription,
        Some(CountOption::Subscription(_)) => {
            return Err(Fault::bad("a subscription goes forwards only"));
        }
        None => return Err(Fault::bad("count and subscription are both missing")),
    };
    let filter = match options.filter_option {
        Some(FilterOption::Filter(filter)) => Some(filter),
        Some(FilterOption::NoFilter(())) | None => None,
    };
    let source = match options.stream_option {
        Some(StreamOption::Stream(_)) if filter.is_some() => {
            return Err(Fault::bad("only reads of all streams can be filtered"));
        }
        Some(StreamOption::Stream(stream)) => stream_source(stream)?,
        Some(StreamOption::All(all)) => {
            let filter = filter.map(parse_filter).transpose()?;
            if matches!(wanted, Wanted::Subscription)
                && filter.as_ref().is_some_and(|filter| filter.checkpoint_every == 0)
            {
                return Err(Fault::bad("the checkpoint interval must not be zero"));
            }
            Source::All { from: all_from(&all)?, filter }
        }
        None => return Err(Fault::bad("stream and all are both missing")),
    };
    let id_form = match options.uuid_option.and_then(|option| option.content) {
        Some(UuidContent::Structured(())) => IdForm::Structured,
        Some(UuidContent::String(())) => IdForm::Text,
        None => return Err(Fault::bad("the form of ids is missing")),
    };
    Ok(ReadRequest {
        source,
        wanted,
        backwards,
        resolve_links: options.resolve_links,
        id_form,
        compatibility: options.control_option.map_or(0, |control| control.compatibility),
    })
}

fn stream_source(stream: read_req::StreamOptions) -> Result<Source, Fault> {
    use read_req::stream_options::RevisionOption as R;
    let name = convert::stream_name(stream.stream_identifier)?;
    let from = match stream.revision_option {
        Some(R::Revision(revision)) => From::At(revision),
        Some(R::Start(())) => From::Start,
        Some(R::End(())) => From::End,
        None => return Err(Fault::bad("the revision is missing")),
    };
    Ok(Source::Stream { name, from })
}

fn all_from(all: &read_req::AllOptions) -> Result<From, Fault> {
    use read_req::all_options::AllOption as A;
    match &all.all_option {
        // Some clients write the ends as numbers.
        Some(A::Position(position)) if position.commit_position == 0 => Ok(From::Start),
        Some(A::Position(position)) if position.commit_position == u64::MAX => Ok(From::End),
        Some(A::Position(position)) => Ok(From::At(position.commit_position)),
        Some(A::Start(())) => Ok(From::Start),
        Some(A::End(())) => Ok(From::End),
        None => Err(Fault::bad("the position is missing")),
    }
}

fn parse_filter(options: read_req::FilterOptions) -> Result<Filtered, Fault> {
    use read_req::filter_options::{Filter as F, Window};
    let (on, expression) = match options.filter {
        Some(F::StreamIdentifier(expression)) => (Subject::Stream, expression),
        Some(F::EventType(expression)) => (Subject::Type, expression),
        None => return Err(Fault::bad("the filter is missing")),
    };
    let window = match options.window {
        Some(Window::Max(max)) => u64::from(max),
        Some(Window::Count(())) | None => DEFAULT_WINDOW,
    };
    if expression.regex.len() > LONGEST_REGEX || expression.prefix.len() > MOST_PREFIXES {
        return Err(Fault::bad("the expression of the filter is too long"));
    }
    let filter = Filter::new(on, &expression.regex, expression.prefix)
        .map_err(|error| Fault::bad(format!("the expression of the filter is wrong: {error}")))?;
    let checkpoint_every = window * u64::from(options.checkpoint_interval_multiplier);
    Ok(Filtered { filter, checkpoint_every })
}
