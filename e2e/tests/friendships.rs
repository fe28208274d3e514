//! Friendships and blocks: how they begin and end, who sees them, and on which devices.

use anyhow::{Context, Result, ensure};
use e2e::acts::{done, listed, position, read, write};
use e2e::cluster::Cluster;
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused};
use e2e::talk::{PATIENCE, Person};
use e2e::up::Up;
use events::{ConversationId, Position, UserId};
use futures::future::try_join_all;
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Event, Socket, key, new_id};
use serde_json::{Value, json};

/// What is between Ada and Bob, as both see it, and that the four lists say the same.
async fn agree(
    people: [&Person; 2],
    url: &str,
    after: Position,
    friends: bool,
    request: Option<usize>,
) -> Result<()> {
    for (index, person) in people.into_iter().enumerate() {
        let other = people[1 - index].user();
        let list = |wanted: bool| if wanted { vec![other] } else { vec![] };
        let is = |path, wanted| async move {
            let found = listed(person, url, path, after).await?;
            ensure!(found == list(wanted), "{path} of {}: {found:?}", person.name);
            Ok(())
        };
        is("/v1/friends", friends).await?;
        is("/v1/friend-requests?direction=outgoing", request == Some(index)).await?;
        is("/v1/friend-requests?direction=incoming", request == Some(1 - index)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_friendship_begins_and_ends_in_every_way() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let (ada, bob) = (&Person::new(url, "Ada").await?, &Person::new(url, "Bob").await?);
    let pair = [ada, bob];
    let ask = |by: &Person, to: &Person| {
        write(by, url, Method::POST, "/v1/friend-requests", Some(json!({ "to": to.user() })))
    };
    let answer = |by: &Person, of: &Person, how: &str| {
        write(by, url, Method::POST, &format!("/v1/friend-requests/{}/{how}", of.user()), None)
    };
    let end = |by: &Person, of: &Person, list: &str| {
        write(by, url, Method::DELETE, &format!("/v1/{list}/{}", of.user()), None)
    };
    let yes = async |request: Result<RequestBuilder>| position(&accepted(request?, 202).await?);

    refused(ask(ada, ada)?, 422, "oneself").await?;
    let nobody = json!({ "to": new_id() });
    let request = write(ada, url, Method::POST, "/v1/friend-requests", Some(nobody))?;
    refused(request, 404, "no-such-user").await?;
    refused(answer(bob, ada, "accept")?, 404, "no-request").await?;

    agree(pair, url, yes(ask(ada, bob)).await?, false, Some(0)).await?;
    refused(answer(ada, bob, "accept")?, 404, "no-request").await.context("one's own")?;
    refused(end(bob, ada, "friend-requests")?, 404, "no-request").await.context("another's")?;
    agree(pair, url, yes(answer(bob, ada, "decline")).await?, false, None).await?;
    yes(ask(ada, bob)).await?;
    agree(pair, url, yes(end(ada, bob, "friend-requests")).await?, false, None).await?;
    yes(ask(bob, ada)).await?;
    agree(pair, url, yes(answer(ada, bob, "accept")).await?, true, None).await?;
    refused(answer(ada, bob, "decline")?, 409, "already-friends").await?;
    refused(end(bob, ada, "friend-requests")?, 409, "already-friends").await?;
    agree(pair, url, yes(end(ada, bob, "friends")).await?, false, None).await?;

    // Both ask at the same moment, many times: they are friends each time, and nothing is left over.
    for _ in 0..5 {
        let (one, other) = tokio::try_join!(yes(ask(ada, bob)), yes(ask(bob, ada)))?;
        agree(pair, url, one.max(other), true, None).await?;
        let (one, other) =
            tokio::try_join!(yes(end(ada, bob, "friends")), yes(end(bob, ada, "friends")))?;
        agree(pair, url, one.max(other), false, None).await?;
    }
    up.end().await
}

/// For whom is blocked, whoever blocks them is as somebody who never was.
async fn does_not_exist(
    blocker: &Person,
    for_whom: &Person,
    url: &str,
    after: Position,
) -> Result<()> {
    let answers = async |id: UserId| {
        let mut answers = vec![];
        let asked =
            write(for_whom, url, Method::POST, "/v1/friend-requests", Some(json!({ "to": id })))?;
        answers.push(refused(asked, 404, "no-such-user").await?);
        answers.push(
            refused(read(for_whom, url, &format!("/v1/users/{id}"), after)?, 404, "no-such-user")
                .await?,
        );
        let accept = format!("/v1/friend-requests/{id}/accept");
        answers.push(
            refused(write(for_whom, url, Method::POST, &accept, None)?, 404, "no-request").await?,
        );
        anyhow::Ok(answers)
    };
    let (one, nobody) = (answers(blocker.user()).await?, answers(UserId::new(new_id())).await?);
    ensure!(one == nobody, "{one:?} tells more than {nobody:?}");
    let me = blocker.session.read::<Value>("/v1/users/me", None).await?;
    let handle = me["handle"].as_str().context("a handle")?;
    for path in [format!("/v1/users?handle={handle}"), format!("/v1/users?q={handle}")] {
        ensure!(listed(for_whom, url, &path, after).await?.is_empty(), "{path}");
    }
    for path in ["/v1/friends", "/v1/users/recommended", "/v1/friend-requests?direction=outgoing"] {
        ensure!(!listed(for_whom, url, path, after).await?.contains(&blocker.user()), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_block_ends_what_there_was_and_hides_whoever_blocks_in_every_order() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let ada = &Person::new(url, "Ada").await?;
    for before in ["nothing", "asked", "was asked", "friends"] {
        let bob = &Person::new(url, "Bob").await?;
        match before {
            "asked" => drop(ada.session.ask_for_friendship(bob.user()).await?),
            "was asked" => drop(bob.session.ask_for_friendship(ada.user()).await?),
            "friends" => {
                ada.session.ask_for_friendship(bob.user()).await?;
                bob.session.accept_friendship(ada.user()).await?;
            }
            _ => {}
        }
        let group = ada.session.open_group("Both are here", &[bob.user()]).await?;
        let blocks = |of: &Person| format!("/v1/blocks/{}", of.user());
        let mut ears = Raw::open(url, bob.token()).await?;

        let once = key().to_string();
        let block = |url: &str| -> Result<RequestBuilder> {
            Ok(ada.request(url, Method::PUT, &blocks(bob))?.header("Idempotency-Key", &once))
        };
        let first = accepted(block(url)?, 202).await?;
        ensure!(accepted(block(url)?, 202).await? == first, "the same key is the same block");
        let at = position(&first)?;
        agree([ada, bob], url, at, false, None).await.context(before)?;
        does_not_exist(ada, bob, url, at).await.context(before)?;
        ensure!(listed(ada, url, "/v1/blocks", at).await?.contains(&bob.user()), "{before}");
        ensure!(listed(bob, url, "/v1/blocks", at).await?.is_empty(), "who is blocked is not told");
        let request = json!({ "to": bob.user() });
        let request = write(ada, url, Method::POST, "/v1/friend-requests", Some(request))?;
        refused(request, 409, "blocking").await?;
        accepted(read(ada, url, &format!("/v1/users/{}", bob.user()), at)?, 200).await?;
        // Groups go on, with both in them.
        let said = bob.session.send(group.id, "still here").await?;
        let heard = ada.session.messages(group.id, Some(said.position)).await?;
        ensure!(heard.items.iter().any(|message| message.sender_id == bob.user()), "{before}");
        loop {
            let frame = ears.frame().await?;
            ensure!(frame["type"] != "friendship.blocked", "Bob was told: {frame}");
            if frame["position"] == json!(said.position) {
                break;
            }
        }

        // Bob blocks back; each lifts only their own.
        let both = done(bob, url, Method::PUT, &blocks(ada), None).await?;
        let bob_is = format!("/v1/users/{}", bob.user());
        refused(read(ada, url, &bob_is, both)?, 404, "no-such-user").await?;
        let one = done(ada, url, Method::DELETE, &blocks(bob), None).await?;
        does_not_exist(bob, ada, url, one).await.context("the other still blocks")?;
        let none = done(bob, url, Method::DELETE, &blocks(ada), None).await?;
        agree([ada, bob], url, none, false, None)
            .await
            .context("what there was does not return")?;
        let asked = bob.session.ask_for_friendship(ada.user()).await?.position;
        agree([ada, bob], url, asked, false, Some(1)).await?;
        let decline = format!("/v1/friend-requests/{}/decline", bob.user());
        done(ada, url, Method::POST, &decline, None).await?;
    }
    let nobody = format!("/v1/blocks/{}", new_id());
    refused(write(ada, url, Method::PUT, &nobody, None)?, 404, "no-such-user").await?;
    let oneself = format!("/v1/blocks/{}", ada.user());
    refused(write(ada, url, Method::PUT, &oneself, None)?, 422, "oneself").await?;
    refused(ada.request(url, Method::PUT, &oneself)?, 400, "idempotency-key").await?;
    up.end().await
}

/// The next event on a socket that is about a friendship.
async fn next_of_two(device: &mut Socket) -> Result<Event> {
    loop {
        let event = device.next_event(PATIENCE).await?;
        if event.kind.starts_with("friendship.") {
            return Ok(event);
        }
    }
}

/// The next event about a friendship has to be this one.
async fn hears(device: &mut Socket, kind: &str, at: Position) -> Result<()> {
    let event = next_of_two(device).await?;
    ensure!((&*event.kind, event.position) == (kind, at), "not {kind} at {at}: {event:?}");
    Ok(())
}

#[tokio::test]
async fn a_request_and_its_answer_come_to_every_device_at_every_gateway() -> Result<()> {
    let cluster = Cluster::start().await?;
    let [ada, bob, cleo]: [Person; 3] =
        try_join_all(["Ada", "Bob", "Cleo"].map(|name| Person::new(&cluster.url, name)))
            .await?
            .try_into()
            .expect("three people");
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.as_str()).collect();
    let mut devices = vec![];
    for person in [&ada, &bob] {
        for node in &nodes {
            devices.push(Socket::open(node, person.token(), None).await?);
        }
    }
    let mut strangers = Socket::open(nodes[0], cleo.token(), None).await?;

    let asked = ada.session.ask_for_friendship(bob.user()).await?.position;
    try_join_all(devices.iter_mut().map(|device| hears(device, "friendship.requested", asked)))
        .await?;
    // The answer is given on one of the sockets.
    let yes = devices[3].command("friendship.accept", json!({ "from": ada.user() })).await?;
    let yes = position(&yes)?;
    try_join_all(devices.iter_mut().map(|device| hears(device, "friendship.accepted", yes)))
        .await?;
    let end = devices[0].command("friendship.remove", json!({ "user": bob.user() })).await?;
    let end = position(&end)?;
    try_join_all(devices.iter_mut().map(|device| hears(device, "friendship.removed", end))).await?;

    // A device that was away gets what it missed; a block comes to the blocker's devices alone.
    let away = devices.pop().context("four devices")?.cut().await;
    let asked = ada.session.ask_for_friendship(bob.user()).await?.position;
    let mut back = Socket::open(nodes[0], bob.token(), Some(away)).await?;
    hears(&mut back, "friendship.requested", asked).await?;
    let block = devices[2].command("friendship.block", json!({ "user": ada.user() })).await?;
    let block = position(&block)?;
    hears(&mut back, "friendship.blocked", block).await?;
    let lifted = back.command("friendship.unblock", json!({ "user": ada.user() })).await?;
    hears(&mut back, "friendship.unblocked", position(&lifted)?).await?;
    let own = ada.session.ask_for_friendship(cleo.user()).await?.position;
    hears(&mut strangers, "friendship.requested", own).await.context("what is not Cleo's")?;
    for device in &mut devices[..2] {
        hears(device, "friendship.requested", asked).await?;
        hears(device, "friendship.requested", own).await.context("Ada was told of the block")?;
    }
    hears(&mut devices[2], "friendship.requested", asked).await?;
    hears(&mut devices[2], "friendship.blocked", block).await?;
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn whoever_is_blocked_brings_the_other_into_no_group_and_nobody_opens_what_is_of_two()
-> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let people = try_join_all(["Ada", "Bob", "Eve"].map(|name| Person::new(url, name))).await?;
    let [ada, bob, eve] = &people[..] else { anyhow::bail!("three people") };
    let open = |by: &Person, id: Option<ConversationId>, members: &[&Person]| {
        let members: Vec<_> = members.iter().map(|member| member.user()).collect();
        let mut body = json!({ "kind": "group", "title": "Ours", "members": members });
        if let Some(id) = id {
            body["id"] = json!(id);
        }
        write(by, url, Method::POST, "/v1/conversations", Some(body))
    };
    let block = write(ada, url, Method::PUT, &format!("/v1/blocks/{}", bob.user()), None)?;
    accepted(block, 202).await?;
    // For Bob there is no Ada, and she cannot bring him in by mistake.
    refused(open(bob, None, &[ada])?, 404, "no-such-user").await?;
    refused(open(ada, None, &[bob])?, 409, "blocking").await?;
    let groups =
        [accepted(open(bob, None, &[])?, 201).await?, accepted(open(ada, None, &[])?, 201).await?];
    let add = |by: &Person, group: &Value, whom: &Person| {
        let group = group["id"].as_str().unwrap_or_default();
        let path = format!("/v1/conversations/{group}/members/{}", whom.user());
        write(by, url, Method::PUT, &path, None)
    };
    refused(add(bob, &groups[0], ada)?, 404, "no-such-user").await?;
    refused(add(ada, &groups[1], bob)?, 409, "blocking").await?;
    accepted(add(bob, &groups[0], eve)?, 202).await?;

    // Eve knows which id the conversation of Ada and Bob will have, and may not be there first.
    let theirs = ConversationId::direct(ada.user(), bob.user());
    refused(open(eve, Some(theirs), &[])?, 422, "id-not-to-choose").await?;
    up.end().await
}
