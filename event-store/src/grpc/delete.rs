//! Delete and Tombstone: a wrong version is an error of these calls.

use uuid::Uuid;

use super::{
    convert,
    fault::Fault,
    proto::streams::{
        self, DeleteReq, DeleteResp, TombstoneReq, TombstoneResp, delete_req, delete_resp,
        tombstone_req, tombstone_resp,
    },
};
use crate::{
    access::{Operation, Visit},
    committer::Action,
    engine::Engine,
    expected::Expected,
};

/// Hides all events of a stream; later events may revive it.
pub(crate) async fn delete(
    engine: &Engine,
    visit: &Visit,
    request: DeleteReq,
) -> Result<DeleteResp, Fault> {
    use delete_req::options::ExpectedStreamRevision as E;
    use delete_resp::PositionOption as P;
    let options = request.options.ok_or_else(|| Fault::bad("the options are missing"))?;
    let expected = match options.expected_stream_revision {
        Some(E::Revision(revision)) => Expected::Exact(revision),
        Some(E::NoStream(())) => Expected::NoStream,
        Some(E::Any(())) => Expected::Any,
        Some(E::StreamExists(())) => Expected::StreamExists,
        None => return Err(Fault::bad("the expected revision is missing")),
    };
    let action = Action::SoftDelete(new_id());
    let position = write(engine, visit, options.stream_identifier, expected, action).await?;
    let position_option = Some(position.map_or(P::NoPosition(()), P::Position));
    Ok(DeleteResp { position_option })
}

/// Ends a stream for ever.
pub(crate) async fn tombstone(
    engine: &Engine,
    visit: &Visit,
    request: TombstoneReq,
) -> Result<TombstoneResp, Fault> {
    use tombstone_req::options::ExpectedStreamRevision as E;
    use tombstone_resp::PositionOption as P;
    let options = request.options.ok_or_else(|| Fault::bad("the options are missing"))?;
    let expected = match options.expected_stream_revision {
        Some(E::Revision(revision)) => Expected::Exact(revision),
        Some(E::NoStream(())) => Expected::NoStream,
        Some(E::Any(())) => Expected::Any,
        Some(E::StreamExists(())) => Expected::StreamExists,
        None => return Err(Fault::bad("the expected revision is missing")),
    };
    let action = Action::Tombstone(new_id());
    let position = write(engine, visit, options.stream_identifier, expected, action).await?;
    let position_option = Some(position.map_or(P::NoPosition(()), P::Position));
    Ok(TombstoneResp { position_option })
}

async fn write(
    engine: &Engine,
    visit: &Visit,
    identifier: Option<super::proto::shared::StreamIdentifier>,
    expected: Expected,
    action: Action,
) -> Result<Option<streams::Position>, Fault> {
    let stream = convert::stream_name(identifier)?;
    visit.check(Operation::Delete(&stream)).await?;
    match engine.write(stream.clone(), expected, action).await {
        Ok(written) => Ok(written.position.map(convert::position)),
        Err(refusal) => Err(Fault::refused(refusal, &stream)),
    }
}

#[expect(clippy::disallowed_methods, reason = "the server is the edge that makes these events")]
fn new_id() -> Uuid {
    Uuid::new_v4()
}
