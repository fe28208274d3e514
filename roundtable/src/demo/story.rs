//! The steps of the demo, in order.

use std::{io::Write, time::Duration};

use events::{ConversationId, MessageId, Position};
use serde_json::{Value, json};

use super::{Expecting, Failed, Stage, Step, Surprise};
use crate::client::{Client, Error, Event, Session, SignUp, Socket, new_id};

/// Live means soon; a machine that builds something beside the demo, or stalls, may still be slow.
const SOON: Duration = Duration::from_secs(30);
/// How long to listen for what must not come.
const QUIET: Duration = Duration::from_millis(400);

const LINES: [&str; 3] = ["Are you still there?", "The train is in a tunnel.", "See you at six."];

/// One of the two, with an open socket.
struct Person {
    name: &'static str,
    session: Session,
    socket: Socket,
}

pub(super) async fn play(client: &Client, stage: &mut Stage<impl Write>) -> Result<(), Failed> {
    stage.chapter("Two people come in");
    let mut ada = arrive(client, stage, "Ada").await?;
    let mut ben = arrive(client, stage, "Ben").await?;

    stage.chapter("They become friends");
    become_friends(stage, &mut ada, &mut ben).await?;

    stage.chapter("They talk");
    let conversation = open(stage, &mut ada, &mut ben).await?;
    let hello = say(stage, &mut ada, &mut ben, conversation, "Hello Ben!").await?;
    receipts(stage, &mut ada, &mut ben, conversation, hello).await?;
    let text = "Hello Ada, good to see you.";
    let answer = say(stage, &mut ben, &mut ada, conversation, text).await?;

    stage.chapter("Ben's connection is cut");
    let (mut ben, missed) = cut_and_resume(stage, &mut ada, ben, conversation, answer.1).await?;
    let (last, _) = say(stage, &mut ada, &mut ben, conversation, "There you are.").await?;

    stage.chapter("What stays");
    let mut all = vec![hello.0, answer.0];
    all.extend(missed);
    all.push(last);
    history(stage, &ada, &ben, conversation, &all).await?;
    ada.socket.close().await;
    ben.socket.close().await;
    Ok(())
}

async fn arrive(
    client: &Client,
    stage: &mut Stage<impl Write>,
    name: &'static str,
) -> Result<Person, Failed> {
    // The last digits of a new id are random: the demo can be repeated on the same stack.
    let id = new_id().simple().to_string();
    let word = format!("{}_{}", name.to_lowercase(), &id[20..]);
    let who = SignUp {
        email: format!("{word}@example.org"),
        handle: word,
        name: name.to_owned(),
        password: format!("open {id} please"),
    };
    let user = stage
        .step(&format!("{name} signs up"), async {
            let made = in_turn(|| client.sign_up(&who)).await.expecting("a new account")?;
            Ok((made.id, made.position))
        })
        .await?;
    let session = stage
        .step(&format!("{name} logs in"), async {
            let session = in_turn(|| client.log_in(&who.email, &who.password)).await;
            let session = session.expecting("tokens")?;
            if session.user() != user {
                return Err(Surprise::new(format!("a log-in of {user}"), session.user()));
            }
            let position = session.tokens().position;
            Ok((session, position))
        })
        .await?;
    let socket = stage
        .step(&format!("{name} opens a WebSocket"), async {
            let socket = session.socket(None).await.expecting("hello, then ready")?;
            let position = socket.ready().position;
            Ok((socket, position))
        })
        .await?;
    Ok(Person { name, session, socket })
}

/// Asks again when a limit says how long to wait: others may use the stack from this address too.
async fn in_turn<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut waits = 3;
    loop {
        match call().await {
            Err(Error::Problem(refusal)) if refusal.slug() == "rate-limited" && waits > 0 => {
                waits -= 1;
                let seconds = refusal.retry_after.unwrap_or(1);
                tokio::time::sleep(Duration::from_secs(seconds.min(60))).await;
            }
            other => return other,
        }
    }
}

async fn become_friends(
    stage: &mut Stage<impl Write>,
    ada: &mut Person,
    ben: &mut Person,
) -> Result<(), Failed> {
    let (ada_id, ben_id) = (ada.session.user(), ben.session.user());
    let asked = stage
        .step(
            "Ada asks Ben to be friends",
            command(ada, "friendship.request", json!({ "to": ben_id })),
        )
        .await?;
    stage
        .step("Ben sees it live", async {
            let event = live(ben, "friendship.requested", position_of(&asked)?).await?;
            same("the request of Ada", &json!(ada_id), event.data("from"))?;
            Ok(((), event.position))
        })
        .await?;
    let accepted = stage
        .step("Ben accepts", command(ben, "friendship.accept", json!({ "from": ada_id })))
        .await?;
    stage
        .step("Ada sees it live", async {
            let event = live(ada, "friendship.accepted", position_of(&accepted)?).await?;
            same("the answer of Ben", &json!(ben_id), event.data("by"))?;
            Ok(((), event.position))
        })
        .await?;
    stage
        .step("Both find each other in their lists of friends", async {
            let after = position_of(&accepted)?;
            for (who, friend) in [(&*ada, ben_id), (&*ben, ada_id)] {
                let list: Value = who
                    .session
                    .read("/v1/friends", Some(after))
                    .await
                    .expecting("a list of friends")?;
                if !list["items"].to_string().contains(&friend.to_string()) {
                    return Err(Surprise::new(
                        format!("{friend} in the list of {}", who.name),
                        list,
                    ));
                }
            }
            Ok(((), after))
        })
        .await
}

async fn open(
    stage: &mut Stage<impl Write>,
    ada: &mut Person,
    ben: &mut Person,
) -> Result<ConversationId, Failed> {
    let with = json!({ "with": ben.session.user() });
    let opened = stage
        .step("Ada opens their conversation", command(ada, "conversation.open_direct", with))
        .await?;
    stage
        .step("Ben sees it live", async {
            let event = live(ben, "conversation.opened", position_of(&opened)?).await?;
            let id = event.data("conversation").as_str().and_then(|id| id.parse().ok());
            let id = id.ok_or_else(|| Surprise::new("a conversation's id", &event.frame))?;
            same("the conversation in Ada's result", &json!(id), &opened["conversation"])?;
            Ok((id, event.position))
        })
        .await
}

/// One says something and the other hears it.
async fn say(
    stage: &mut Stage<impl Write>,
    from: &mut Person,
    to: &mut Person,
    conversation: ConversationId,
    text: &str,
) -> Result<(MessageId, Position), Failed> {
    let id = MessageId::new(new_id());
    let fields = json!({ "conversation": conversation, "message": id, "text": text });
    let title = format!("{}: {text}", from.name);
    let sent = stage.step(&title, command(from, "message.send", fields)).await?;
    let title = format!("{} hears it", to.name);
    stage
        .step(&title, async {
            let event = live(to, "message.sent", position_of(&sent)?).await?;
            same("the message", &json!(id), event.data("message"))?;
            same("its text", &json!(text), event.data("text"))?;
            Ok(((id, event.position), event.position))
        })
        .await
}

/// A message goes from sent to delivered to read, and its sender sees that.
async fn receipts(
    stage: &mut Stage<impl Write>,
    ada: &mut Person,
    ben: &mut Person,
    conversation: ConversationId,
    (message, sent): (MessageId, Position),
) -> Result<(), Failed> {
    let fields = || json!({ "conversation": conversation, "message": message });
    stage.step("Ada's list says: sent", status(ada, conversation, message, sent, "sent")).await?;
    for (kind, title) in [("delivered", "Ben's device received it"), ("read", "Ben read it")] {
        let name = format!("message.{kind}");
        stage.step(title, command(ben, &name, fields())).await?;
        let after = stage
            .step("Ada sees that live", async {
                let kind = format!("receipt.{kind}");
                // Receipts are written behind, so nobody is told where theirs will stand in the log.
                let event = ada.socket.next_of(&kind, SOON).await.expecting(&kind)?;
                same("the message", &json!(message), event.data("message"))?;
                same("Ben as the reader", &json!(ben.session.user()), event.data("user"))?;
                Ok((event.position, event.position))
            })
            .await?;
        let title = format!("Ada's list says: {kind}");
        stage.step(&title, status(ada, conversation, message, after, kind)).await?;
    }
    Ok(())
}

/// Ben's connection is cut, Ada goes on talking, and Ben misses nothing.
async fn cut_and_resume(
    stage: &mut Stage<impl Write>,
    ada: &mut Person,
    ben: Person,
    conversation: ConversationId,
    newest: Position,
) -> Result<(Person, Vec<MessageId>), Failed> {
    let Person { name, session, mut socket } = ben;
    let last = stage
        .step("Ben has seen everything so far, then the line is cut", async {
            while socket.last() < newest {
                socket
                    .next_event(SOON)
                    .await
                    .expecting("his own message, as all devices see it")?;
            }
            let last = socket.cut().await;
            Ok((last, last))
        })
        .await?;
    let (mut missed, mut accepted) = (Vec::new(), Value::Null);
    for text in LINES {
        let id = MessageId::new(new_id());
        let fields = json!({ "conversation": conversation, "message": id, "text": text });
        let title = format!("Ada: {text}");
        accepted = stage.step(&title, command(ada, "message.send", fields)).await?;
        missed.push(id);
    }
    let title = format!("Ben is back and resumes after position {last}");
    let socket = stage
        .step(&title, async {
            let socket = session.socket(Some(last)).await.expecting("hello, then ready")?;
            if !socket.ready().resumed {
                return Err(Surprise::new("`resumed` to be true in ready", "false"));
            }
            let position = socket.ready().position;
            Ok((socket, position))
        })
        .await?;
    let mut ben = Person { name, session, socket };
    stage
        .step("He gets the three he missed, once and in order", async {
            let newest = position_of(&accepted)?;
            let (mut came, mut last) = (Vec::new(), last);
            // Some of them come live if the relay was behind when he resumed.
            while last < newest {
                let event = ben.socket.next_event(SOON).await.expecting("the last of the three")?;
                last = event.position;
                if event.kind == "message.sent" {
                    came.push(event.data("message").clone());
                }
            }
            // Nothing is told again after that.
            while let Ok(event) = ben.socket.next_event(QUIET).await {
                if event.kind == "message.sent" {
                    came.push(event.data("message").clone());
                }
            }
            same("the three messages", &json!(missed), &json!(came))?;
            Ok(((), ben.socket.last()))
        })
        .await?;
    Ok((ben, missed))
}

/// Both read the same history by REST.
async fn history(
    stage: &mut Stage<impl Write>,
    ada: &Person,
    ben: &Person,
    conversation: ConversationId,
    all: &[MessageId],
) -> Result<(), Failed> {
    let after = ben.socket.last();
    for person in [ada, ben] {
        let title = format!("{} reads the history over REST", person.name);
        stage
            .step(&title, async {
                let page = person.session.messages(conversation, Some(after)).await;
                let page = page.expecting("a page of messages")?;
                let mut ids: Vec<MessageId> = page.items.iter().map(|item| item.id).collect();
                ids.reverse();
                same("all messages, oldest first", &json!(all), &json!(ids))?;
                Ok(((), after))
            })
            .await?;
    }
    Ok(())
}

/// Gives a command over the socket; the result is the frame.
async fn command(person: &Person, kind: &str, fields: Value) -> Step<Value> {
    let result = person.socket.command(kind, fields).await.expecting("a result")?;
    let position = position_of(&result)?;
    Ok((result, position))
}

fn position_of(result: &Value) -> Result<Position, Surprise> {
    let position = result["position"].as_str().and_then(|text| text.parse().ok());
    position.ok_or_else(|| Surprise::new("a result with a position", result))
}

/// The live event of a kind at a position. Those before it are passed over.
async fn live(person: &mut Person, kind: &str, at: Position) -> Result<Event, Surprise> {
    let expected = format!("the event {kind} at position {at}");
    loop {
        let event = person.socket.next_event(SOON).await.expecting(&expected)?;
        if event.position == at && event.kind == kind {
            return Ok(event);
        }
        if event.position >= at {
            return Err(Surprise::new(expected, event.frame));
        }
    }
}

/// Reads a message's status as its sender sees it, once the read model is at `after`.
async fn status(
    person: &Person,
    conversation: ConversationId,
    message: MessageId,
    after: Position,
    expected: &str,
) -> Step<()> {
    let page = person.session.messages(conversation, Some(after)).await;
    let page = page.expecting("a page of messages")?;
    let item = page.items.iter().find(|item| item.id == message);
    let item = item.ok_or_else(|| Surprise::new("the message", format!("{:?}", page.items)))?;
    match item.status.as_deref() {
        Some(status) if status == expected => Ok(((), after)),
        other => Err(Surprise::new(expected, other.unwrap_or("no status"))),
    }
}

fn same(what: &str, expected: &Value, came: &Value) -> Result<(), Surprise> {
    if expected == came {
        return Ok(());
    }
    Err(Surprise::new(format!("{what}: {expected}"), came))
}
