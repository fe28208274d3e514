//! The commands of one socket that are being carried out: many at once, but sends to the same
//! conversation one after the other.

use std::collections::{HashMap, VecDeque};

use events::ConversationId;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

/// Commands in flight, each of which ends with a `T`.
pub(crate) struct InFlight<T> {
    /// None, as long as there are none: most sockets only listen.
    running: Option<Running<T>>,
    /// What waits for its turn in a conversation where a send is running.
    lanes: HashMap<ConversationId, VecDeque<BoxFuture<'static, T>>>,
    waiting: usize,
    bound: usize,
}

type Running<T> = FuturesUnordered<BoxFuture<'static, (Option<ConversationId>, T)>>;

impl<T: Send + 'static> InFlight<T> {
    /// With room for so many.
    pub(crate) fn new(bound: usize) -> Self {
        Self { running: None, lanes: HashMap::new(), waiting: 0, bound }
    }

    /// Whether another one may begin; if not, the socket is not read.
    pub(crate) fn has_room(&self) -> bool {
        self.running.as_ref().map_or(0, FuturesUnordered::len) + self.waiting < self.bound
    }

    /// Begins a command, or lets it wait for those before it in its lane.
    pub(crate) fn begin(
        &mut self,
        lane: Option<ConversationId>,
        command: impl Future<Output = T> + Send + 'static,
    ) {
        let command: BoxFuture<'static, T> = Box::pin(command);
        if let Some(conversation) = lane {
            if let Some(queue) = self.lanes.get_mut(&conversation) {
                queue.push_back(command);
                self.waiting += 1;
                return;
            }
            self.lanes.insert(conversation, VecDeque::new());
        }
        self.run(lane, command);
    }

    /// What the next command ended with; waits for ever if there is none.
    pub(crate) async fn next(&mut self) -> T {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let Some((lane, result)) = running.next().await else {
            return std::future::pending().await;
        };
        if running.is_empty() {
            self.running = None;
        }
        if let Some(conversation) = lane {
            match self.lanes.get_mut(&conversation).and_then(VecDeque::pop_front) {
                Some(command) => {
                    self.waiting -= 1;
                    self.run(lane, command);
                }
                None => drop(self.lanes.remove(&conversation)),
            }
        }
        result
    }

    fn run(&mut self, lane: Option<ConversationId>, command: BoxFuture<'static, T>) {
        let running = self.running.get_or_insert_default();
        running.push(Box::pin(async move { (lane, command.await) }));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;

    type Gate = oneshot::Sender<()>;

    fn command(n: u32) -> (Gate, impl Future<Output = u32> + Send + 'static) {
        let (gate, open) = oneshot::channel();
        (gate, async move {
            open.await.ok();
            n
        })
    }

    fn next(commands: &mut InFlight<u32>) -> Option<u32> {
        commands.next().now_or_never()
    }

    #[test]
    fn sends_to_one_conversation_keep_their_order_and_others_do_not_wait() {
        let (one, other) = (Uuid::from_u128(1).into(), Uuid::from_u128(2).into());
        let mut commands = InFlight::new(10);
        let (first_gate, first) = command(1);
        let (second_gate, second) = command(2);
        let (third_gate, third) = command(3);
        let (fourth_gate, fourth) = command(4);
        commands.begin(Some(one), first);
        commands.begin(Some(one), second);
        commands.begin(Some(other), third);
        commands.begin(None, fourth);
        for gate in [second_gate, third_gate, fourth_gate] {
            gate.send(()).unwrap();
        }
        let mut done = [next(&mut commands), next(&mut commands)];
        done.sort_unstable();
        assert_eq!(done, [Some(3), Some(4)]);
        assert_eq!(next(&mut commands), None, "the second waits for the first");
        first_gate.send(()).unwrap();
        assert_eq!(next(&mut commands), Some(1));
        assert_eq!(next(&mut commands), Some(2));
        assert_eq!(next(&mut commands), None);
        assert!(commands.lanes.is_empty() && commands.waiting == 0);
    }

    #[test]
    fn those_that_wait_count_as_well() {
        let lane = Some(Uuid::from_u128(1).into());
        let mut commands = InFlight::new(2);
        let (gate, first) = command(1);
        commands.begin(lane, first);
        assert!(commands.has_room());
        commands.begin(lane, async { 2 });
        assert!(!commands.has_room());
        gate.send(()).unwrap();
        assert_eq!(next(&mut commands), Some(1));
        assert!(commands.has_room());
    }
}
