//! The Streams service: each call is handed to the file that bears its name.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt, future, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    access::Watch,
    append, batch, delete,
    fault::Fault,
    proto::streams::{
        AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq,
        ReadResp, TombstoneReq, TombstoneResp, streams_server::Streams,
    },
    read,
    request::{self, Wanted},
    subscribe,
};
use crate::{access::Gate, engine::Engine};

/// The service.
pub(crate) struct Service {
    pub(crate) engine: Arc<Engine>,
    pub(crate) access: Arc<Gate>,
    pub(crate) shutdown: CancellationToken,
}

/// A stream of answers.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Streams for Service {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        let visit = self.access.admit(request.metadata()).await?;
        let request = request::parse(request.into_inner())?;
        let watch = Watch::begin(visit, &self.engine, &request.source).await?;
        let engine = Arc::clone(&self.engine);
        let answers = match request.wanted {
            Wanted::Count(_) => read::read(engine, request).await?,
            Wanted::Subscription => {
                subscribe::subscribe(engine, request, self.shutdown.clone()).await?
            }
        };
        Ok(Response::new(watch.over(answers)))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendReq>>,
    ) -> Result<Response<AppendResp>, Status> {
        let visit = self.access.admit(request.metadata()).await?;
        append::append(&self.engine, &visit, request.into_inner()).await.map(Response::new)
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        let visit = self.access.admit(request.metadata()).await?;
        Ok(Response::new(delete::delete(&self.engine, &visit, request.into_inner()).await?))
    }

    async fn tombstone(
        &self,
        request: Request<TombstoneReq>,
    ) -> Result<Response<TombstoneResp>, Status> {
        let visit = self.access.admit(request.metadata()).await?;
        Ok(Response::new(delete::tombstone(&self.engine, &visit, request.into_inner()).await?))
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        let engine = Arc::clone(&self.engine);
        let visit = self.access.admit(request.metadata()).await?;
        let waiting = batch::take_in(engine, visit, request.into_inner(), self.shutdown.clone());
        let answers = stream::unfold(waiting, |mut waiting| async move {
            let answer = match waiting.recv().await? {
                Ok(write) => Ok(batch::answer(write).await),
                Err(status) => Err(status),
            };
            Some((answer, waiting))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Sends pages message by message; the next page is read when the last message was taken.
pub(crate) fn flatten<S>(pages: S) -> Answers<ReadResp>
where
    S: Stream<Item = Result<Vec<ReadResp>, Fault>> + Send + 'static,
{
    Box::pin(pages.flat_map(|page| match page {
        Ok(page) => stream::iter(page).map(Ok).left_stream(),
        Err(fault) => stream::once(future::ready(Err(fault.into()))).right_stream(),
    }))
}

/// Runs what reads the disk where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Fault::Stopping)
}
