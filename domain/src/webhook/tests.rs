//! The rules of webhooks, one by one and all together.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::decider::laws::{given, hold, user};

const HOOK: WebhookId = WebhookId::new(Uuid::from_u128(0x3b));

fn at(second: u8) -> Moment {
    Moment::from_timestamp(second.into(), 0).unwrap()
}

fn create(runs: bool, types: &[&str]) -> Command {
    Command::Create {
        webhook: HOOK,
        owner: user(1),
        conversation: Some(ConversationId::new(Uuid::from_u128(9))),
        runs,
        url: "https://example.org".to_owned(),
        types: types.iter().map(|name| (*name).to_owned()).collect(),
        salt: Uuid::from_u128(1),
    }
}

fn there() -> Webhook {
    given(&Webhook::None.decide(&create(true, &["message.*", "call.ended"])).unwrap())
}

const OWNER: Person = Person { user: UserId::new(Uuid::from_u128(1)), runs: true };
const RUNNER: Person = Person { user: UserId::new(Uuid::from_u128(2)), runs: true };
const STRANGER: Person = Person { user: UserId::new(Uuid::from_u128(3)), runs: false };

fn after(state: &Webhook, command: &Command) -> Webhook {
    state.decide(command).unwrap().iter().fold(state.clone(), Webhook::evolve)
}

#[test]
fn a_webhook_is_made_by_who_runs_what_it_tells_of_and_names_types() {
    assert_eq!(Webhook::None.decide(&create(false, &[])), Err(Rejection::NotAllowed));
    for wrong in ["message", "message.", ".sent", "Message.sent", "*", "message.se*", "a.b.c"] {
        let refused = Webhook::None.decide(&create(true, &[wrong]));
        assert_eq!(refused, Err(Rejection::InvalidType), "{wrong}");
    }
    let many = vec!["message.sent"; MAX_TYPES + 1];
    assert_eq!(Webhook::None.decide(&create(true, &many)), Err(Rejection::TooManyTypes));
    let state = there();
    assert_eq!(state.decide(&create(true, &[])), Err(Rejection::AlreadyCreated));
    let hook = state.hook().unwrap();
    assert!(hook.wants("message.sent") && hook.wants("call.ended"));
    assert!(!hook.wants("call.started") && !hook.wants("messages.sent"));
    let all = given::<Webhook>(&Webhook::None.decide(&create(true, &[])).unwrap());
    assert!(all.hook().unwrap().wants("call.started"));
}

#[test]
fn who_runs_the_conversation_may_stop_it_and_nothing_else() {
    let state = there();
    let change = |by| Command::Change { by, url: Some("https://b".into()), types: None };
    let replay = |by| Command::Replay { by, from: Position::START };
    for make in [change, replay, |by| Command::Test { by }] {
        assert_eq!(state.decide(&make(STRANGER)), Err(Rejection::NoSuchWebhook));
        assert_eq!(state.decide(&make(RUNNER)), Err(Rejection::NotOwner));
        assert_eq!(state.decide(&make(OWNER)).unwrap().len(), 1);
    }
    let off = |by| Command::Switch { by, on: false };
    assert_eq!(state.decide(&off(STRANGER)), Err(Rejection::NoSuchWebhook));
    let stopped = after(&state, &off(RUNNER));
    assert_eq!(stopped.hook().unwrap().disabled, Some(DisableReason::Asked));
    let on = |by| Command::Switch { by, on: true };
    assert_eq!(stopped.decide(&on(RUNNER)), Err(Rejection::NotOwner));
    assert_eq!(stopped.decide(&replay(OWNER)), Err(Rejection::Disabled));
    assert_eq!(after(&stopped, &on(OWNER)), state);
    let removed = after(&state, &Command::Remove { by: RUNNER });
    assert_eq!(removed.decide(&Command::Remove { by: OWNER }), Ok(vec![]));
    assert_eq!(removed.decide(&change(OWNER)), Err(Rejection::NoSuchWebhook));
    assert_eq!(removed.decide(&create(true, &[])), Err(Rejection::AlreadyCreated));
}

#[test]
fn a_rotated_secret_leaves_the_old_one_good_for_a_while() {
    let salt = Uuid::from_u128(2);
    let rotate = Command::Rotate { by: OWNER, salt, overlap_until: at(9) };
    let hook = after(&there(), &rotate).hook().cloned().unwrap();
    assert_eq!((hook.salt, hook.before), (salt, Some((Uuid::from_u128(1), at(9)))));
}

fn command() -> impl Strategy<Value = Command> {
    (0..9_u8, 0..3_u8, any::<bool>()).prop_map(|(kind, who, flag)| {
        let by = [OWNER, RUNNER, STRANGER][usize::from(who)];
        let url = flag.then(|| "https://b".to_owned());
        match kind {
            0 | 1 => create(true, &["message.*"]),
            2 => Command::Change { by, url, types: Some(vec![]) },
            3 => Command::Switch { by, on: flag },
            4 => Command::Rotate { by, salt: Uuid::nil(), overlap_until: at(5) },
            5 => Command::Replay { by, from: Position::START },
            6 => Command::Test { by },
            7 => Command::Disable { reason: DisableReason::Gone },
            _ => Command::Remove { by },
        }
    })
}

proptest! {
    /// But for those that are wanted again and again: their idempotency keys, which the seam asks
    /// first, tell a repeat.
    #[test]
    fn the_laws_hold(commands in proptest::collection::vec(command(), 0..40)) {
        let repeats = |command: &Command| {
            matches!(
                command,
                Command::Rotate { .. } | Command::Replay { .. } | Command::Test { .. }
            )
        };
        hold::<Webhook>(&commands, repeats, |before, after| {
            let removed = matches!(before, Webhook::Removed { .. });
            assert!(!removed || before == after, "what is removed stays removed");
        });
    }
}
