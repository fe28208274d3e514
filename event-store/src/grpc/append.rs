//! Append: one write, streamed in, answered when it is durable.

use tonic::Streaming;

use super::{
    convert,
    fault::Fault,
    proto::streams::{AppendReq, AppendResp, append_req, append_resp},
};
use crate::{
    access::{Operation, Visit},
    committer::{Action, Refusal, Written},
    engine::Engine,
    expected::Expected,
};

/// Takes the whole request in, then writes all of it or nothing.
pub(crate) async fn append(
    engine: &Engine,
    visit: &Visit,
    mut request: Streaming<AppendReq>,
) -> Result<AppendResp, tonic::Status> {
    let options = match request.message().await?.and_then(|first| first.content) {
        Some(append_req::Content::Options(options)) => options,
        _ => return Err(Fault::bad("the first message must hold the options").into()),
    };
    let stream = convert::stream_name(options.stream_identifier)?;
    visit.check(Operation::Write(&stream)).await?;
    let expected = expected(options.expected_stream_revision)?;
    let (mut events, mut size) = (Vec::new(), 0);
    while let Some(message) = request.message().await? {
        let Some(append_req::Content::ProposedMessage(message)) = message.content else {
            return Err(Fault::bad("only events may follow the options").into());
        };
        let event = convert::proposed(message, &engine.config)?;
        size += convert::weight(&event);
        let most = engine.config.max_append_bytes;
        if size > most {
            return Err(Fault::AppendTooBig { most }.into());
        }
        events.push(event);
    }
    // The request may have taken its time.
    visit.check(Operation::Write(&stream)).await?;
    match engine.write(stream.clone(), expected, Action::Append(events)).await {
        Ok(written) => Ok(success(written)),
        // A wrong version is an ordinary answer of this call, not an error.
        Err(Refusal::WrongVersion { expected, current }) => Ok(wrong_version(expected, current)),
        Err(refusal) => Err(Fault::refused(refusal, &stream).into()),
    }
}

fn expected(
    option: Option<append_req::options::ExpectedStreamRevision>,
) -> Result<Expected, Fault> {
    use append_req::options::ExpectedStreamRevision as E;
    match option {
        Some(E::Revision(revision)) => Ok(Expected::Exact(revision)),
        Some(E::NoStream(())) => Ok(Expected::NoStream),
        Some(E::Any(())) => Ok(Expected::Any),
        Some(E::StreamExists(())) => Ok(Expected::StreamExists),
        None => Err(Fault::bad("the expected revision is missing")),
    }
}

fn success(written: Written) -> AppendResp {
    use append_resp::{
        Result,
        success::{CurrentRevisionOption as R, PositionOption as P},
    };
    let position = written.position.map(convert::position);
    let success = append_resp::Success {
        current_revision_option: Some(written.revision.map_or(R::NoStream(()), R::CurrentRevision)),
        position_option: Some(position.map_or(P::NoPosition(()), P::Position)),
    };
    AppendResp { result: Some(Result::Success(success)) }
}

fn wrong_version(expected: Expected, current: Option<u64>) -> AppendResp {
    use append_resp::{
        Result,
        wrong_expected_version::{CurrentRevisionOption as C, ExpectedRevisionOption as E},
    };
    let wrong = append_resp::WrongExpectedVersion {
        current_revision_option: Some(current.map_or(C::CurrentNoStream(()), C::CurrentRevision)),
        expected_revision_option: Some(match expected {
            Expected::Exact(revision) => E::ExpectedRevision(revision),
            Expected::Any => E::ExpectedAny(()),
            Expected::StreamExists => E::ExpectedStreamExists(()),
            Expected::NoStream => E::ExpectedNoStream(()),
        }),
    };
    AppendResp { result: Some(Result::WrongExpectedVersion(wrong)) }
}
