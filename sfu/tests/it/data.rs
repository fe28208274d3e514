//! Data channels: what one says, all others hear who asked for channels.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use service::tickets::Rights;
use str0m::change::SdpAnswer;
use str0m::channel::{ChannelConfig, ChannelId, Reliability};

use crate::client::Client;
use crate::peer::{Fact, Peer};
use crate::relay::{Relay, Weather, media_address};
use crate::world::{World, pace};

/// A channel on which everything arrives, in order.
fn reliable(label: &str) -> ChannelConfig {
    ChannelConfig { label: label.to_owned(), ..ChannelConfig::default() }
}

/// A channel on which nothing is sent again.
fn unreliable(label: &str) -> ChannelConfig {
    let reliability = Reliability::MaxRetransmits { retransmits: 0 };
    ChannelConfig { ordered: false, reliability, ..reliable(label) }
}

/// The channel of a frame `channel_began`, as the connection that receives knows it.
async fn began(client: &mut Client) -> (ChannelId, Value) {
    let frame = client.frame("channel_began").await;
    let (channel, label) = client.subscribe.opened().await;
    assert_eq!(frame["label"], label);
    let stream =
        client.subscribe.with(move |rtc| rtc.direct_api().sctp_stream_id_by_channel_id(channel));
    assert_eq!(frame["stream"], json!(stream.await.unwrap()));
    (channel, frame)
}

#[tokio::test]
async fn what_two_say_three_hear_as_it_was_said_and_who_comes_late_hears_what_follows() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    let mut ben = Client::join(&world, 2).await;
    ada.subscribe_to_data().await;
    let protocol = "roundtable".to_owned();
    let chat = ada.open(vec![ChannelConfig { protocol, ..reliable("chat") }]).await[0];
    ben.subscribe_to_data().await;
    let (of_ada, frame) = began(&mut ben).await;
    assert_eq!(frame["participant"], ada.joined["participant"]);
    let said = (&frame["protocol"], &frame["ordered"], &frame["max_retransmits"]);
    assert_eq!(said, (&json!("roundtable"), &json!(true), &Value::Null));
    let cursors = ben.open(vec![unreliable("cursors")]).await[0];
    let (of_ben, frame) = began(&mut ada).await;
    assert_eq!(frame["participant"], ben.joined["participant"]);
    assert_eq!((&frame["ordered"], &frame["max_retransmits"]), (&json!(false), &json!(0)));

    // Empty ones, which this client cannot send, are said by browsers and in the unit tests.
    let sent = [(false, b"hello".to_vec()), (true, vec![0, 255]), (true, b"hello".to_vec())];
    for (binary, payload) in sent.clone() {
        ada.publish.say(chat, binary, payload.clone()).await;
        let heard = ben.subscribe.said().await;
        assert_eq!((heard.id, heard.binary, heard.data), (of_ada, binary, payload.clone()));
        ben.publish.say(cursors, binary, payload.clone()).await;
        let heard = ada.subscribe.said().await;
        assert_eq!((heard.id, heard.binary, heard.data), (of_ben, binary, payload));
    }
    let mut cleo = Client::join(&world, 3).await;
    cleo.subscribe_to_data().await;
    let (first, _) = began(&mut cleo).await;
    let (second, _) = began(&mut cleo).await;
    ada.publish.say(chat, false, b"late".to_vec()).await;
    ben.publish.say(cursors, false, b"late".to_vec()).await;
    let heard = [cleo.subscribe.said().await, cleo.subscribe.said().await];
    assert!(heard.iter().all(|one| one.data == b"late"));
    assert!(heard.iter().any(|one| one.id == first) && heard.iter().any(|one| one.id == second));
    // The longest message there is goes whole.
    let long: Vec<u8> = (0..65_536u32).map(|at| at.to_be_bytes()[2]).collect();
    ada.publish.say(chat, true, long.clone()).await;
    for client in [&mut ben, &mut cleo] {
        while client.subscribe.said().await.data != long {}
    }
}

/// Says numbers on a channel, at a pace that the SFU permits.
async fn count(client: &Client, channel: ChannelId, numbers: std::ops::Range<u32>) {
    let mut pace = pace(Duration::from_millis(10));
    for number in numbers {
        if number % 8 == 0 {
            pace.tick().await;
        }
        client.publish.say(channel, true, number.to_be_bytes().to_vec()).await;
    }
}

fn number(data: &[u8]) -> u32 {
    u32::from_be_bytes(data.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_arrive_once_and_in_order_where_two_percent_are_lost() {
    const COUNT: u32 = 10_000;
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let weather = Weather { lose_one_of: 50, delay: Duration::from_millis(5) };
    let (up, down) = (Relay::to(sfu, weather).await, Relay::to(sfu, weather).await);
    let mut ada = Client::join_via(&world, 1, Some(up.address), None).await;
    let chat = ada.open(vec![reliable("chat")]).await[0];
    let mut ben = Client::join_via(&world, 2, None, Some(down.address)).await;
    let mut cleo = Client::join(&world, 3).await;
    ben.subscribe_to_data().await;
    cleo.subscribe_to_data().await;
    began(&mut ben).await;
    began(&mut cleo).await;
    let hear = async |client: &mut Client| {
        for expected in 0..COUNT {
            assert_eq!(number(&client.subscribe.said().await.data), expected);
        }
    };
    tokio::join!(count(&ada, chat, 0..COUNT), hear(&mut ben), hear(&mut cleo));
    let passed = down.passed.load(std::sync::atomic::Ordering::Relaxed);
    eprintln!("{passed} datagrams towards the subscriber for {COUNT} messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_on_an_unreliable_channel_stays_lost_and_nothing_comes_twice() {
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let weather = Weather { lose_one_of: 20, delay: Duration::from_millis(5) };
    let down = Relay::to(sfu, weather).await;
    let mut ada = Client::join(&world, 1).await;
    let cursors = ada.open(vec![unreliable("cursors")]).await[0];
    let mut ben = Client::join_via(&world, 2, None, Some(down.address)).await;
    ben.subscribe_to_data().await;
    began(&mut ben).await;
    let hear = async {
        let mut heard = BTreeSet::new();
        loop {
            let number = number(&ben.subscribe.said().await.data);
            if number >= 2000 {
                return heard;
            }
            assert!(heard.insert(number), "{number} came twice");
        }
    };
    let say = async {
        count(&ada, cursors, 0..2000).await;
        // Until one of them arrives.
        count(&ada, cursors, 2000..2200).await;
    };
    let ((), heard) = tokio::join!(say, hear);
    assert!((1200..2000).contains(&heard.len()), "{} of 2000", heard.len());
    eprintln!("{} of 2000 arrived where one of 20 datagrams is lost", heard.len());
}

#[tokio::test]
async fn a_channel_ends_when_it_is_closed_and_when_who_opened_it_leaves() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    let channels = ada.open(vec![reliable("one"), reliable("two")]).await;
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe_to_data().await;
    let mut known = [began(&mut ben).await, began(&mut ben).await];
    known.sort_by_key(|(_, frame)| frame["label"].to_string());
    let [(one, first), (two, second)] = known;
    let closed = channels[0];
    ada.publish.with(move |rtc| rtc.direct_api().close_data_channel(closed)).await;
    let ended = ben.frame("channel_ended").await;
    assert_eq!((&ended["channel"], &ended["reason"]), (&first["channel"], &json!("closed")));
    let gone = async |client: &mut Client, channel: ChannelId| {
        while !matches!(client.subscribe.next().await, Fact::Ended(ended) if ended == channel) {}
    };
    gone(&mut ben, one).await;
    ada.publish.say(channels[1], false, b"still".to_vec()).await;
    assert_eq!(ben.subscribe.said().await.data, b"still");
    // Another one after it, over the same association.
    let third = ada.publish.with(|rtc| rtc.direct_api().create_data_channel(reliable("three")));
    let third = third.await;
    ada.publish.opened().await;
    let (_, frame) = began(&mut ben).await;
    assert_eq!(frame["label"], "three");
    ada.publish.say(third, false, b"again".to_vec()).await;
    assert_eq!(ben.subscribe.said().await.data, b"again");
    ada.tell(json!({ "type": "leave" })).await;
    let ended = ben.frame("channel_ended").await;
    assert_eq!((&ended["channel"], &ended["reason"]), (&second["channel"], &json!("left")));
    gone(&mut ben, two).await;
}

#[tokio::test]
async fn who_is_too_slow_loses_the_channel_and_the_others_hear_everything() {
    const COUNT: u32 = 60;
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let calm = Weather { lose_one_of: 0, delay: Duration::ZERO };
    let down = Relay::to(sfu, calm).await;
    let mut ada = Client::join(&world, 1).await;
    let files = ada.open(vec![reliable("files")]).await[0];
    let mut ben = Client::join_via(&world, 2, None, Some(down.address)).await;
    let mut cleo = Client::join(&world, 3).await;
    ben.subscribe_to_data().await;
    cleo.subscribe_to_data().await;
    let (_, slow) = began(&mut ben).await;
    began(&mut cleo).await;
    down.bears(50_000);
    // As fast as the other one hears them.
    let say = async {
        for _ in 0..COUNT {
            ada.publish.say(files, true, vec![7; 60_000]).await;
            assert_eq!(cleo.subscribe.said().await.data.len(), 60_000);
        }
    };
    let told = async {
        let ended = ben.frame("channel_ended").await;
        assert_eq!((&ended["channel"], &ended["reason"]), (&slow["channel"], &json!("too_slow")));
    };
    tokio::join!(say, told);
    // What is said next is heard, and the slow one has nothing to do with it.
    ada.publish.say(files, false, b"on".to_vec()).await;
    assert_eq!(cleo.subscribe.said().await.data, b"on");
}

#[tokio::test]
async fn channels_go_on_after_ice_was_restarted_and_after_the_socket_was_replaced() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    let chat = ada.open(vec![reliable("chat")]).await[0];
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe_to_data().await;
    let (channel, frame) = began(&mut ben).await;
    ada.restart_publishing().await;
    ada.publish.say(chat, false, b"one".to_vec()).await;
    assert_eq!(ben.subscribe.said().await.data, b"one");
    ben.tell(json!({ "type": "restart" })).await;
    ben.take_offer().await;
    ada.publish.say(chat, false, b"two".to_vec()).await;
    assert_eq!(ben.subscribe.said().await.data, b"two");
    drop(ben.reconnect(&world, 2).await);
    // What was told may have been lost with the socket: it is told again.
    ben.tell(json!({ "type": "subscribe", "data": true })).await;
    assert_eq!(ben.frame("channel_began").await, frame);
    ada.publish.say(chat, false, b"three".to_vec()).await;
    let heard = ben.subscribe.said().await;
    assert_eq!((heard.id, heard.data), (channel, b"three".to_vec()));
}

#[tokio::test]
async fn sections_of_tracks_before_and_after_that_of_data_are_told_apart() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe_to_data().await;
    let mut cleo = Client::join(&world, 3).await;
    cleo.publish(&[]).await;
    let offer = ben.take_offer().await;
    let mids = |offer: &Value| {
        let sections = offer["sections"].as_array().unwrap().iter();
        sections.map(|section| section["mid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(mids(&offer), ["0", "1", "2", "3"]);
    let sdp = offer["sdp"].as_str().unwrap();
    let kinds: Vec<&str> = sdp.lines().filter_map(|l| l.strip_prefix("m=")?.get(..5)).collect();
    assert_eq!(kinds, ["audio", "video", "appli", "audio", "video"]);
    cleo.send_audio(-30).await;
    assert_eq!(ben.subscribe.packet().await.payload.len(), 8);
    // The publisher of tracks opens a channel later, on the same connection.
    let (offer, pending, chat) = cleo.publish.offer_channels(vec![reliable("chat")]).await;
    cleo.tell(json!({ "type": "publish", "sdp": offer })).await;
    let answer = cleo.frame("published").await;
    cleo.publish.accept(pending, answer["sdp"].as_str().unwrap()).await;
    began(&mut ben).await;
    cleo.publish.say(chat[0], false, b"hi".to_vec()).await;
    assert_eq!(ben.subscribe.said().await.data, b"hi");
}

#[tokio::test]
async fn in_a_call_of_voices_data_goes_and_who_may_not_send_says_nothing() {
    let world = World::start().await;
    let voice = Rights { height: Some(0), ..Rights::PARTICIPANT };
    let mut ada = Client::join_as(&world, &world.ticket_with(1, voice, |_| {})).await;
    let mut ben = Client::join_as(&world, &world.ticket_with(2, voice, |_| {})).await;
    let chat = ada.open(vec![reliable("chat")]).await[0];
    ben.subscribe_to_data().await;
    began(&mut ben).await;
    ada.publish.say(chat, false, b"hi".to_vec()).await;
    assert_eq!(ben.subscribe.said().await.data, b"hi");
    let listens = Rights { publish: false, ..Rights::PARTICIPANT };
    let mut cleo = Client::join_as(&world, &world.ticket_with(3, listens, |_| {})).await;
    let (offer, ..) = cleo.publish.offer_channels(vec![reliable("chat")]).await;
    cleo.tell(json!({ "type": "publish", "id": 7, "sdp": offer })).await;
    let refused = loop {
        let frame = cleo.next_frame().await;
        if frame["type"] == "error" {
            break frame;
        }
    };
    assert_eq!(refused["problem"], "ticket-rights");
    // Those who did not ask see no channels, and are offered none.
    let (mut dora, mut eve) = (Client::join(&world, 4).await, Client::join(&world, 5).await);
    eve.publish(&[]).await;
    let offer = dora.subscribe().await;
    assert!(!offer["sdp"].as_str().unwrap().contains("m=application"));
    // What a subscriber opens or says is nobody's business.
    ben.subscribe.with(|rtc| rtc.direct_api().create_data_channel(reliable("mine"))).await;
    while !matches!(ben.subscribe.next().await, Fact::Ended(_)) {}
    ada.publish.say(chat, false, b"on".to_vec()).await;
    assert_eq!(ben.subscribe.said().await.data, b"on");
}

#[tokio::test]
async fn more_channels_than_may_be_and_names_too_long_are_refused_and_the_others_go_on() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    let all = ada.open((0..16).map(|at| reliable(&at.to_string())).collect()).await;
    ada.publish.with(|rtc| rtc.direct_api().create_data_channel(reliable("more"))).await;
    let refused = ada.frame("channel_refused").await;
    assert_eq!(refused["reason"], "too_many");
    let closed = all[3];
    ada.publish.with(move |rtc| rtc.direct_api().close_data_channel(closed)).await;
    let long = "l".repeat(257);
    ada.publish.with(move |rtc| rtc.direct_api().create_data_channel(reliable(&long))).await;
    assert_eq!(ada.frame("channel_refused").await["reason"], "name_too_long");
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe_to_data().await;
    for _ in 0..15 {
        began(&mut ben).await;
    }
    ada.publish.say(all[0], false, b"hi".to_vec()).await;
    assert_eq!(ben.subscribe.said().await.data, b"hi");
}

#[tokio::test]
async fn whip_has_no_data_channels_and_its_answer_says_so() {
    let world = World::start().await;
    let mut sender = Peer::new(None).await;
    let (offer, pending) = sender
        .with(|rtc| {
            let mut change = rtc.sdp_api();
            let (kind, send) = (str0m::media::MediaKind::Audio, str0m::media::Direction::SendOnly);
            change.add_media(kind, send, None, None, None);
            change.add_channel("chat".to_owned());
            let (offer, pending) = change.apply().unwrap();
            (offer.to_sdp_string(), pending)
        })
        .await;
    let url = format!("http://{}/v1/whip/{}", world.address, world.call);
    let request = reqwest::Client::new().post(url).bearer_auth(world.ticket(1));
    let answer = request.header("content-type", "application/sdp").body(offer).send().await;
    let answer = answer.unwrap().text().await.unwrap();
    assert!(answer.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel"), "{answer}");
    let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
    sender.with(move |rtc| rtc.sdp_api().accept_answer(pending, answer).unwrap()).await;
    sender.connected().await;
}
