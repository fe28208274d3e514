//! Operations: scavenges, and the end of the server. This node is alone, so it has no rank to give up.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};
use uuid::Uuid;

use super::{
    fault::Fault,
    proto::operations::{
        ScavengeResp, SetNodePriorityReq, StartScavengeReq, StopScavengeReq,
        operations_server::Operations, scavenge_resp::ScavengeResult,
    },
};
use crate::{
    access::{Gate, Operation},
    engine::Engine,
    scavenge::{self, Order, Start},
};

/// The service.
pub(crate) struct Service {
    pub(crate) engine: Arc<Engine>,
    pub(crate) access: Arc<Gate>,
    pub(crate) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Operations for Service {
    async fn start_scavenge(
        &self,
        request: Request<StartScavengeReq>,
    ) -> Result<Response<ScavengeResp>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        let options = request.into_inner().options.unwrap_or_default();
        let skip = usize::try_from(options.start_from_chunk)
            .map_err(|_| Fault::bad("the number of the segment to start from is negative"))?;
        match self.engine.scavenger.start(Order { id: scavenge::new_id(), skip }) {
            Start::Started(id) => Ok(answer(id, ScavengeResult::Started)),
            Start::InProgress(id) => Ok(answer(id, ScavengeResult::InProgress)),
            Start::Closed => Err(Fault::Stopping.into()),
        }
    }

    async fn stop_scavenge(
        &self,
        request: Request<StopScavengeReq>,
    ) -> Result<Response<ScavengeResp>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        let name = request.into_inner().options.unwrap_or_default().scavenge_id;
        match Uuid::parse_str(&name) {
            Ok(id) if self.engine.scavenger.stop(id).await => {
                Ok(answer(id, ScavengeResult::Stopped))
            }
            _ => Err(not_found(&name)),
        }
    }

    async fn shutdown(&self, request: Request<()>) -> Result<Response<()>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        tracing::info!("a client asked for the shutdown");
        self.shutdown.cancel();
        Ok(Response::new(()))
    }

    async fn merge_indexes(&self, request: Request<()>) -> Result<Response<()>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        // The index is kept merged without being told.
        Ok(Response::new(()))
    }

    async fn resign_node(&self, _: Request<()>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("This node is alone and cannot resign."))
    }

    async fn set_node_priority(
        &self,
        _: Request<SetNodePriorityReq>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("This node is alone and has no priority."))
    }

    async fn restart_persistent_subscriptions(
        &self,
        _: Request<()>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("Persistent subscriptions cannot be restarted."))
    }
}

fn answer(id: Uuid, result: ScavengeResult) -> Response<ScavengeResp> {
    let mut response = ScavengeResp { scavenge_id: id.to_string(), ..Default::default() };
    response.set_scavenge_result(result);
    Response::new(response)
}

fn not_found(name: &str) -> Status {
    let mut keys = MetadataMap::new();
    keys.insert("exception", "scavenge-not-found".parse().expect("the value is ASCII"));
    // Only an id that can be one is worth repeating, and any other text might not fit a header.
    if let Ok(id) = Uuid::parse_str(name) {
        keys.insert("scavenge-id", id.to_string().parse().expect("an id is ASCII"));
    }
    Status::with_metadata(Code::NotFound, "No scavenge with this id is at work.", keys)
}
