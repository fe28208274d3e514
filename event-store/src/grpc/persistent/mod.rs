//! The PersistentSubscriptions service over the groups.

mod fault;
mod info;
mod read;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::{
    fault::Fault,
    proto::persistent::{
        CreateReq, CreateResp, DeleteReq, DeleteResp, GetInfoReq, GetInfoResp, ListReq, ListResp,
        ReadReq, ReadResp, ReplayParkedReq, ReplayParkedResp, UpdateReq, UpdateResp,
        persistent_subscriptions_server::PersistentSubscriptions,
    },
    streams::Answers,
};
use crate::{
    access::{Gate, Operation},
    engine::Engine,
    persistent::{GroupId, Problem, Subsystem},
};

pub(crate) use fault::GroupFault;

/// The service.
pub(crate) struct Service {
    pub(crate) engine: Arc<Engine>,
    pub(crate) access: Arc<Gate>,
    pub(crate) subsystem: Arc<Subsystem>,
}

impl Service {
    /// Makes a change as a whole, even when the client does not wait for it.
    async fn change<F>(
        &self,
        id: &GroupId,
        change: impl FnOnce(Arc<Subsystem>) -> F,
    ) -> Result<(), Fault>
    where
        F: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let changed = tokio::spawn(change(Arc::clone(&self.subsystem))).await;
        changed.map_err(|_| Fault::Stopping)?.map_err(|problem| fault::of(problem, id))
    }
}

#[tonic::async_trait]
impl PersistentSubscriptions for Service {
    type ReadStream = Answers<ReadResp>;

    async fn create(&self, request: Request<CreateReq>) -> Result<Response<CreateResp>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        let wanted = request::group(request.into_inner().options)?;
        let id = wanted.id.clone();
        self.change(&id, |subsystem| async move {
            subsystem.create(wanted.id, wanted.settings, wanted.filter).await
        })
        .await?;
        Ok(Response::new(CreateResp {}))
    }

    async fn update(&self, request: Request<UpdateReq>) -> Result<Response<UpdateResp>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        let wanted = request::group(request.into_inner().options)?;
        if wanted.filter.is_some() {
            return Err(Fault::bad("the filter of a group cannot be changed").into());
        }
        let id = wanted.id.clone();
        self.change(
            &id,
            |subsystem| async move { subsystem.update(&wanted.id, wanted.settings).await },
        )
        .await?;
        Ok(Response::new(UpdateResp {}))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        let id = request::to_delete(request.into_inner())?;
        let group = id.clone();
        self.change(&id, |subsystem| async move { subsystem.delete(&group).await }).await?;
        Ok(Response::new(DeleteResp {}))
    }

    async fn read(
        &self,
        request: Request<Streaming<ReadReq>>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        read::read(self, request).await.map(Response::new)
    }

    async fn get_info(
        &self,
        request: Request<GetInfoReq>,
    ) -> Result<Response<GetInfoResp>, Status> {
        self.access.authorize(request.metadata(), Operation::Inspect).await?;
        let id = request::to_tell(request.into_inner())?;
        let told = self.subsystem.info(&id).await.map_err(|problem| fault::of(problem, &id))?;
        Ok(Response::new(GetInfoResp { subscription_info: Some(info::group(told)) }))
    }

    async fn replay_parked(
        &self,
        request: Request<ReplayParkedReq>,
    ) -> Result<Response<ReplayParkedResp>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        let (id, stop_at) = request::to_replay(request.into_inner())?;
        let replayed = self.subsystem.replay(&id, stop_at).await;
        replayed.map_err(|problem| fault::of(problem, &id))?;
        Ok(Response::new(ReplayParkedResp {}))
    }

    async fn list(&self, request: Request<ListReq>) -> Result<Response<ListResp>, Status> {
        self.access.authorize(request.metadata(), Operation::Inspect).await?;
        let source = request::to_list(request.into_inner())?;
        let listed = self.subsystem.list(source.as_ref()).await;
        let infos = listed.map_err(|problem| fault::of_list(problem, source))?;
        let subscriptions = infos.into_iter().map(info::group).collect();
        Ok(Response::new(ListResp { subscriptions }))
    }

    async fn restart_subsystem(&self, request: Request<()>) -> Result<Response<()>, Status> {
        self.access.authorize(request.metadata(), Operation::Operate).await?;
        let subsystem = Arc::clone(&self.subsystem);
        let restarted = tokio::spawn(async move { subsystem.restart().await }).await;
        restarted.map_err(|_| Fault::Stopping)?.map_err(|problem| fault::of_list(problem, None))?;
        Ok(Response::new(()))
    }
}
