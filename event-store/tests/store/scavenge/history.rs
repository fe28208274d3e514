//! Random histories with scavenges in them: nobody can tell that there was one.

use eventstore::{ReadAllOptions, StreamPosition};
use proptest::{prelude::*, test_runner::Config as Runs};
use serde_json::json;

use super::stage::{Seen, Stage};

const STREAMS: [&str; 4] = ["s-0", "s-1", "s-2", "s-3"];
const REMOVABLE: [&str; 8] = ["s-0", "s-1", "s-2", "s-3", "$$s-0", "$$s-1", "$$s-2", "$$s-3"];

#[derive(Clone, Debug)]
enum Step {
    Append { stream: usize, count: u64 },
    Before { stream: usize, revision: u64 },
    Keep { stream: usize, newest: u64 },
    Loosen { stream: usize },
    Delete { stream: usize },
    Tombstone { stream: usize },
    Scavenge,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS.len();
    prop_oneof![
        12 => (stream.clone(), 1u64..5).prop_map(|(stream, count)| Step::Append { stream, count }),
        3 => (stream.clone(), 0u64..9)
            .prop_map(|(stream, revision)| Step::Before { stream, revision }),
        3 => (stream.clone(), 1u64..5).prop_map(|(stream, newest)| Step::Keep { stream, newest }),
        1 => stream.clone().prop_map(|stream| Step::Loosen { stream }),
        2 => stream.clone().prop_map(|stream| Step::Delete { stream }),
        1 => stream.prop_map(|stream| Step::Tombstone { stream }),
        5 => Just(Step::Scavenge),
        2 => Just(Step::Reopen),
    ]
}

/// The store, and what must be true of it.
struct History {
    stage: Stage,
    /// How many events each stream was ever given, and whether it was tombstoned.
    streams: [(u64, bool); STREAMS.len()],
    /// Every place an event was ever seen at.
    places: Vec<Seen>,
}

impl History {
    async fn new() -> Self {
        Self { stage: Stage::new().await, streams: Default::default(), places: Vec::new() }
    }

    async fn take(mut self, step: &Step) -> Self {
        match *step {
            Step::Append { stream, count } if !self.streams[stream].1 => {
                self.streams[stream].0 += count;
                let last = self.stage.append(STREAMS[stream], count).await;
                assert_eq!(last + 1, self.streams[stream].0, "revisions go on");
            }
            Step::Before { stream, revision } => {
                self.stage.rules(STREAMS[stream], json!({ "$tb": revision })).await;
            }
            Step::Keep { stream, newest } => {
                self.stage.rules(STREAMS[stream], json!({ "$maxCount": newest })).await;
            }
            Step::Loosen { stream } => self.stage.rules(STREAMS[stream], json!({})).await,
            Step::Delete { stream } if matches!(self.streams[stream], (1.., false)) => {
                self.stage.delete(STREAMS[stream]).await;
            }
            Step::Tombstone { stream } if !self.streams[stream].1 => {
                self.streams[stream].1 = true;
                self.stage.tombstone(STREAMS[stream]).await;
            }
            Step::Scavenge => self = self.scavenge().await,
            Step::Reopen => self.stage = self.stage.reopen().await,
            _ => {}
        }
        self
    }

    /// Everything that stream reads show, in both directions, from every place.
    async fn visible(&self) -> Vec<Result<Vec<Seen>, String>> {
        let mut visible = Vec::new();
        for (name, (count, _)) in STREAMS.iter().zip(self.streams) {
            for backwards in [false, true] {
                let ends = [StreamPosition::Start, StreamPosition::End];
                for from in ends.into_iter().chain((0..=count).map(StreamPosition::Position)) {
                    visible.push(self.stage.stream(name, from, backwards).await);
                }
            }
        }
        visible
    }

    async fn scavenge(mut self) -> Self {
        self.stage.close_segment().await;
        let visible = self.visible().await;
        let before = self.stage.all().await;
        self.places.extend(before.iter().cloned());
        self.places.sort();
        self.places.dedup();
        self.stage.scavenge_well().await;
        assert_eq!(self.visible().await, visible);
        self.whole_log(&before).await;
        self.stage = self.stage.reopen().await;
        assert_eq!(self.visible().await, visible);
        self.whole_log(&before).await;
        self
    }

    /// The log is what it was but for events that were hidden, and can be read from every place
    /// that ever was one.
    async fn whole_log(&self, before: &[Seen]) {
        let kept = self.stage.all().await;
        let mut expected = Vec::new();
        for event in before {
            let (_, stream, revision, _) = event;
            if self.stays(stream, *revision).await {
                expected.push(event.clone());
            }
        }
        assert_eq!(kept, expected);
        let end = ReadAllOptions::default().position(StreamPosition::End).backwards();
        let mut backwards = self.stage.all_with(&end).await.expect("a read");
        backwards.reverse();
        assert_eq!(backwards, kept);
        for (position, ..) in &self.places {
            let at = kept.partition_point(|event| event.0 < *position);
            assert_eq!(self.stage.all_from(*position, false).await, kept[at..]);
            let mut below = self.stage.all_from(*position, true).await;
            below.reverse();
            assert_eq!(below, kept[..at]);
        }
    }

    /// Everything is in closed segments, so what is hidden is gone, except for the last event of a
    /// stream that lives.
    async fn stays(&self, stream: &str, revision: u64) -> bool {
        if !REMOVABLE.contains(&stream) || revision == i64::MAX as u64 {
            return true;
        }
        let described = stream.strip_prefix("$$");
        let name = described.unwrap_or(stream);
        let at = STREAMS.iter().position(|known| *known == name).expect("one of them");
        if self.streams[at].1 {
            return false;
        }
        let shown = self.stage.revisions(stream).await.unwrap_or_default();
        shown.contains(&revision) || (described.is_none() && revision + 1 == self.streams[at].0)
    }
}

proptest! {
    #![proptest_config(Runs { cases: 20, failure_persistence: None, ..Runs::default() })]

    #[test]
    fn no_scavenge_in_any_history_is_seen_by_readers(
        steps in prop::collection::vec(step(), 1..22),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut history = History::new().await;
            for step in &steps {
                history = history.take(step).await;
            }
            history = history.scavenge().await;
            history.stage.served.stop().await;
        });
    }
}
