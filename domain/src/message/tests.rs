//! The rules of messages, one by one, and the laws over all commands.

use events::message::MessageKind;
use events::{ConversationId, FileId, MessageEvent, MessageId, Personal, UserId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::decider::laws::{given, hold, user};

fn message(number: u8) -> MessageId {
    MessageId::new(Uuid::from_u128(number.into()))
}

fn file(number: u8) -> FileId {
    FileId::new(Uuid::from_u128(number.into()))
}

fn place(number: u8) -> Place {
    let conversation = ConversationId::new(Uuid::from_u128(number.into()));
    Place { conversation, member: true, blocked: false, moderator: false }
}

fn by(who: u8, place: Place, action: Action) -> Command {
    Command { message: message(9), by: user(who), place, action }
}

fn says(text: &str) -> Draft {
    Draft { text: text.to_owned(), ..Draft::default() }
}

fn send(draft: Draft) -> Command {
    by(1, place(1), Action::Send(draft))
}

fn edit(text: &str, mentions: &[u8]) -> Action {
    let mentions = mentions.iter().copied().map(user).collect();
    Action::Edit { text: text.to_owned(), mentions }
}

fn react(emoji: &str) -> Action {
    Action::React { emoji: emoji.to_owned() }
}

fn unreact(emoji: &str) -> Action {
    Action::Unreact { emoji: emoji.to_owned() }
}

/// What 1 sent to conversation 1.
fn sent(text: &str) -> MessageEvent {
    MessageEvent::Sent {
        message: message(9),
        conversation: place(1).conversation,
        sender: user(1),
        text: Personal::new(user(1), text.to_owned()),
        kind: MessageKind::Text,
        reply_to: None,
        thread: None,
        mentions: vec![],
        attachments: vec![],
    }
}

fn known() -> Message {
    given(&[sent("hi")])
}

fn then(state: Message, command: &Command) -> Message {
    state.decide(command).unwrap().iter().fold(state, Message::evolve)
}

fn deleted() -> Message {
    then(known(), &by(1, place(1), Action::Delete))
}

/// Everything that can be done to a message that was sent.
fn actions() -> [Action; 4] {
    [edit("ho", &[2]), Action::Delete, react("👍"), unreact("👍")]
}

#[test]
fn a_member_sends_a_message() {
    assert_eq!(Message::default().decide(&send(says("hi"))), Ok(vec![sent("hi")]));
}

#[test]
fn to_others_the_conversation_does_not_exist() {
    let outside = Place { member: false, moderator: true, ..place(1) };
    let refused = Err(Rejection::NoSuchConversation);
    let sending = by(1, outside, Action::Send(says("hi")));
    assert_eq!(Message::default().decide(&sending), refused);
    assert_eq!(known().decide(&sending), refused, "nor does the message");
    for action in actions() {
        assert_eq!(known().decide(&by(1, outside, action)), refused);
    }
}

#[test]
fn a_message_is_sent_once() {
    assert_eq!(known().decide(&send(says("hi"))), Err(Rejection::AlreadySent));
    assert_eq!(deleted().decide(&send(says("hi"))), Err(Rejection::AlreadySent));
}

#[test]
fn a_message_says_something_and_not_too_much() {
    let longest = "é".repeat(MAX_CHARACTERS);
    assert!(Message::default().decide(&send(says(&longest))).is_ok());
    assert!(known().decide(&by(1, place(1), edit(&longest, &[]))).is_ok());
    for text in ["", " \n\t", &format!("{longest}!")] {
        let refused = Err(Rejection::InvalidText);
        assert_eq!(Message::default().decide(&send(says(text))), refused);
        assert_eq!(known().decide(&by(1, place(1), edit(text, &[]))), refused);
    }
}

#[test]
fn what_has_attachments_need_not_say_anything_then_or_later() {
    let picture = Draft {
        kind: MessageKind::Image,
        attachments: vec![file(1), file(1), file(2)],
        own_files: vec![file(2), file(1)],
        ..Draft::default()
    };
    let state = then(Message::default(), &send(picture));
    assert!(state.decide(&by(1, place(1), edit("", &[2]))).is_ok());
}

#[test]
fn attachments_are_few_and_ones_own() {
    let with = |count: u8, own: u8| {
        let files = |count| (0..count).map(file).collect();
        send(Draft { attachments: files(count), own_files: files(own), ..says("look") })
    };
    let new = Message::default();
    let decided = new.decide(&with(10, 10)).unwrap();
    let [MessageEvent::Sent { attachments, .. }] = &decided[..] else { panic!("{decided:?}") };
    assert_eq!(attachments.len(), MAX_ATTACHMENTS);
    assert_eq!(new.decide(&with(11, 11)), Err(Rejection::TooManyAttachments));
    assert_eq!(new.decide(&with(3, 2)), Err(Rejection::NoSuchFile));
}

#[test]
fn a_message_is_what_it_is_said_to_be() {
    for (kind, with, allowed) in [
        (MessageKind::Text, vec![], true),
        (MessageKind::Text, vec![file(1)], true),
        (MessageKind::Image, vec![], false),
        (MessageKind::Image, vec![file(1)], true),
        (MessageKind::File, vec![], false),
        (MessageKind::File, vec![file(1)], true),
        (MessageKind::Emoji, vec![], true),
        (MessageKind::Emoji, vec![file(1)], false),
    ] {
        let own_files = with.clone();
        let draft = Draft { kind, attachments: with, own_files, ..says("👋") };
        let decided = Message::default().decide(&send(draft)).map(|events| events.len());
        assert_eq!(decided, if allowed { Ok(1) } else { Err(Rejection::InvalidKind) }, "{kind:?}");
    }
}

#[test]
fn what_is_answered_and_what_begins_the_thread_are_in_the_same_conversation() {
    let reply = |reply_is_here| Draft { reply_to: Some(message(1)), reply_is_here, ..says("so") };
    let thread = |thread_is_here| Draft { thread: Some(message(1)), thread_is_here, ..says("so") };
    let new = Message::default();
    assert!(new.decide(&send(reply(true))).is_ok() && new.decide(&send(thread(true))).is_ok());
    assert_eq!(new.decide(&send(reply(false))), Err(Rejection::NoSuchReply));
    assert_eq!(new.decide(&send(thread(false))), Err(Rejection::NoSuchThread));
}

#[test]
fn a_message_tells_whether_it_can_be_answered_and_begin_a_thread() {
    let (here, there) = (place(1).conversation, place(2).conversation);
    assert!(known().is_shown_in(here) && known().may_begin_thread_in(here));
    assert!(!known().is_shown_in(there) && !known().may_begin_thread_in(there));
    assert!(!deleted().is_shown_in(here) && !deleted().may_begin_thread_in(here));
    let draft = Draft { thread: Some(message(1)), thread_is_here: true, ..says("so") };
    let within = then(Message::default(), &send(draft));
    assert!(within.is_shown_in(here) && !within.may_begin_thread_in(here));
}

#[test]
fn each_person_is_mentioned_once_and_not_too_many() {
    let people = |count: u8| -> Vec<UserId> { (0..count).map(user).collect() };
    let mentions = [people(50), people(50)].concat();
    let draft = Draft { mentions, ..says("hi") };
    let decided = Message::default().decide(&send(draft)).unwrap();
    let [MessageEvent::Sent { mentions, .. }] = &decided[..] else { panic!("{decided:?}") };
    assert_eq!(*mentions, people(50));
    let refused = Err(Rejection::TooManyMentions);
    let draft = Draft { mentions: people(51), ..says("hi") };
    assert_eq!(Message::default().decide(&send(draft)), refused);
    let edit = Action::Edit { text: "hi".to_owned(), mentions: people(51) };
    assert_eq!(known().decide(&by(1, place(1), edit)), refused);
}

#[test]
fn only_the_sender_edits_and_only_what_changes() {
    let (here, moderator) = (place(1), Place { moderator: true, ..place(1) });
    let edited = MessageEvent::Edited {
        message: message(9),
        conversation: here.conversation,
        text: Personal::new(user(1), "ho".to_owned()),
        mentions: vec![user(2)],
        by: user(1),
    };
    let command = by(1, here, edit("ho", &[2]));
    assert_eq!(known().decide(&command), Ok(vec![edited.clone()]));
    assert_eq!(known().evolve(&edited).decide(&command), Ok(vec![]));
    assert_eq!(known().decide(&by(1, here, edit("hi", &[]))), Ok(vec![]));
    let refused = Err(Rejection::NotSender);
    assert_eq!(known().decide(&by(2, moderator, edit("ho", &[]))), refused);
}

#[test]
fn the_sender_deletes_and_so_does_who_may_decide_what_stays() {
    let moderator = Place { moderator: true, ..place(1) };
    for (who, place) in [(1, place(1)), (2, moderator)] {
        let command = by(who, place, Action::Delete);
        let state = then(known(), &command);
        assert!(state.sent().unwrap().content.is_none());
        assert_eq!(state.decide(&command), Ok(vec![]));
    }
    for state in [known(), deleted()] {
        let refused = Err(Rejection::NotSender);
        assert_eq!(state.decide(&by(2, place(1), Action::Delete)), refused);
    }
}

#[test]
fn nothing_is_done_to_a_deleted_message_but_to_delete_it() {
    for action in actions() {
        let repeated = matches!(action, Action::Delete);
        let expected = if repeated { Ok(vec![]) } else { Err(Rejection::Deleted) };
        assert_eq!(deleted().decide(&by(1, place(1), action)), expected);
    }
}

#[test]
fn nothing_is_done_to_a_message_from_another_conversation_or_to_none() {
    for action in actions() {
        let refused = Err(Rejection::NoSuchMessage);
        let moderator = Place { moderator: true, ..place(2) };
        assert_eq!(known().decide(&by(1, moderator, action.clone())), refused);
        assert_eq!(Message::default().decide(&by(1, place(1), action)), refused);
    }
}

#[test]
fn nothing_new_passes_between_two_of_whom_one_blocks_the_other() {
    let blocked = Place { blocked: true, ..place(1) };
    let refused = Err(Rejection::NotFriends);
    let sending = by(1, blocked, Action::Send(says("hi")));
    assert_eq!(Message::default().decide(&sending), refused);
    let reacted = then(known(), &by(1, place(1), react("👍")));
    for action in actions() {
        let takes_back = matches!(action, Action::Delete | Action::Unreact { .. });
        let decided = reacted.decide(&by(1, blocked, action));
        assert_eq!(decided.is_ok(), takes_back, "{decided:?}");
        assert!(takes_back || decided == refused);
    }
}

#[test]
fn everybody_reacts_once_with_each_emoji_and_takes_it_back() {
    let (like, dislike) = (by(2, place(1), react("👍")), by(2, place(1), unreact("👍")));
    assert_eq!(known().decide(&dislike), Ok(vec![]));
    let state = then(known(), &like);
    assert_eq!(state.decide(&like), Ok(vec![]));
    assert_eq!(state.decide(&by(3, place(1), react("👍"))).unwrap().len(), 1);
    assert_eq!(state.decide(&by(3, place(1), unreact("👍"))), Ok(vec![]), "it is another's");
    let state = then(state, &dislike);
    assert_eq!(state, known(), "as if nobody had reacted");
}

#[test]
fn an_emoji_has_a_size_and_only_so_many_stand_below_a_message() {
    assert!(known().decide(&by(2, place(1), react(&"x".repeat(64)))).is_ok());
    for emoji in ["", &"x".repeat(65)] {
        let refused = Err(Rejection::InvalidEmoji);
        assert_eq!(known().decide(&by(2, place(1), react(emoji))), refused);
    }
    let full = (0..MAX_REACTIONS)
        .fold(known(), |state, number| then(state, &by(2, place(1), react(&number.to_string()))));
    assert_eq!(full.decide(&by(3, place(1), react("x"))), Err(Rejection::TooManyReactions));
    assert!(full.decide(&by(3, place(1), react("7"))).is_ok(), "that one is there already");
}

fn command() -> impl Strategy<Value = Command> {
    let action = (0..6_usize, "[ a]{0,2}", 1..4_u8).prop_map(|(kind, text, who)| match kind {
        0 | 1 => Action::Send(Draft { mentions: vec![user(who)], ..says(&text) }),
        2 => edit(&text, &[who]),
        3 => react(&text),
        4 => unreact(&text),
        _ => Action::Delete,
    });
    (1..4_u8, 1..3_u8, any::<[bool; 3]>(), action).prop_map(|(who, to, facts, action)| {
        let [outside, blocked, moderator] = facts;
        by(who, Place { member: !outside, blocked, moderator, ..place(to) }, action)
    })
}

proptest! {
    #[test]
    fn the_laws_hold(commands in proptest::collection::vec(command(), 0..60)) {
        hold::<Message>(&commands, |_| false, |before, after| {
            let Some(sent) = before.sent() else { return };
            let next = after.sent().expect("what was sent was sent");
            let fixed = |it: &Sent| (it.message, it.conversation, it.sender, it.thread);
            assert_eq!(fixed(sent), fixed(next), "a message never moves");
            assert!(sent.content.is_some() || next.content.is_none(), "it never comes back");
        });
    }
}
