//! What a scavenge does, written to the log of the process and, as events, to the store.
//!
//! The events are in `$scavenges-<id>`, and `$scavenges` links to all of them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::sweep::{Sum, milliseconds};
use crate::{
    committer::{Action, Refusal},
    engine::Engine,
    expected::Expected,
    log::frame::Proposed,
    metadata::LINK_TYPE,
};

const ALL: &str = "$scavenges";

/// Writes about one scavenge.
pub(crate) struct Journal<'a> {
    engine: &'a Engine,
    id: Uuid,
    /// Events that were written, which also tells their ids apart.
    written: u128,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(engine: &'a Engine, id: Uuid) -> Self {
        Self { engine, id, written: 0 }
    }

    pub(crate) fn started(&mut self, skipped: usize, segments: usize) {
        tracing::info!(scavenge.id = %self.id, segments, "a scavenge begins");
        let about = json!({ "startFromSegment": skipped, "segments": segments });
        self.write("$scavengeStarted", about);
    }

    pub(crate) fn rewritten(&mut self, from: u64, until: u64, sum: Sum, took: Duration) {
        tracing::info!(
            scavenge.id = %self.id,
            log.position = from,
            log.bytes = sum.freed,
            log.records = sum.removed,
            "a segment was scavenged"
        );
        let about = json!({
            "fromPosition": from,
            "untilPosition": until,
            "recordsRemoved": sum.removed,
            "spaceSaved": sum.freed,
            "timeTakenMilliseconds": milliseconds(took),
        });
        self.write("$scavengeSegmentCompleted", about);
    }

    pub(crate) fn completed(
        &mut self,
        result: &'static str,
        error: Option<&str>,
        sum: Sum,
        took: Duration,
    ) {
        let (id, took) = (self.id, milliseconds(took));
        if let Some(error) = error {
            tracing::error!(scavenge.id = %id, error, "the scavenge has failed, the store goes on");
        }
        tracing::info!(
            scavenge.id = %id,
            scavenge.result = result,
            scavenge.segments = sum.looked_at,
            scavenge.rewritten = sum.rewritten,
            log.bytes = sum.freed,
            log.records = sum.removed,
            milliseconds = took,
            "the scavenge has ended"
        );
        let about = json!({
            "result": result,
            "error": error,
            "segmentsLookedAt": sum.looked_at,
            "segmentsRewritten": sum.rewritten,
            "recordsRemoved": sum.removed,
            "spaceSaved": sum.freed,
            "timeTakenMilliseconds": took,
        });
        self.write("$scavengeCompleted", about);
    }

    /// Writes an event and the link to it. A store that cannot write has said so already, and the
    /// scavenge, which gives space back, is what may help it.
    fn write(&mut self, event_type: &'static str, mut about: Value) {
        about["scavengeId"] = json!(self.id.to_string());
        let stream = format!("{ALL}-{}", self.id);
        let data = serde_json::to_vec(&about).expect("a JSON value can be written");
        let written = self.append(stream.clone(), event_type.as_bytes(), true, data);
        let linked = written.and_then(|revision| {
            let link = format!("{}@{stream}", revision.unwrap_or_default());
            self.append(ALL.to_owned(), LINK_TYPE, false, link.into_bytes())
        });
        if let Err(refusal) = linked {
            tracing::warn!(scavenge.id = %self.id, ?refusal, "what a scavenge did is not recorded");
        }
    }

    fn append(
        &mut self,
        stream: String,
        event_type: &'static [u8],
        is_json: bool,
        data: Vec<u8>,
    ) -> Result<Option<u64>, Refusal> {
        self.written += 1;
        let event = Proposed {
            id: Uuid::from_u128(self.id.as_u128().wrapping_add(self.written)),
            event_type: Bytes::from_static(event_type),
            is_json,
            custom_metadata: Bytes::new(),
            data: data.into(),
        };
        let action = Action::Append(vec![event]);
        let write = self.engine.write(stream.into(), Expected::Any, action);
        futures::executor::block_on(write).map(|written| written.revision)
    }
}
