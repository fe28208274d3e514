//! Gossip: the cluster is this one node, and it leads.

use std::{sync::Arc, time::SystemTime};

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    convert::{IdForm, id_to},
    proto::gossip::{ClusterInfo, EndPoint, MemberInfo, gossip_server::Gossip},
};
use crate::{committer::ticks, engine::Engine};

/// The state of a leader.
const LEADER: i32 = 8;

/// The service; it knows where clients reach this node.
pub(crate) struct Service {
    pub(crate) engine: Arc<Engine>,
    pub(crate) instance: Uuid,
    pub(crate) host: String,
    pub(crate) port: u16,
}

#[tonic::async_trait]
impl Gossip for Service {
    async fn read(&self, _: Request<()>) -> Result<Response<ClusterInfo>, Status> {
        let member = MemberInfo {
            instance_id: Some(id_to(self.instance, IdForm::Structured)),
            time_stamp: i64::try_from(ticks(SystemTime::now())).unwrap_or(i64::MAX),
            state: LEADER,
            is_alive: self.engine.is_alive(),
            http_end_point: Some(EndPoint {
                address: self.host.clone(),
                port: u32::from(self.port),
            }),
        };
        Ok(Response::new(ClusterInfo { members: vec![member] }))
    }
}
