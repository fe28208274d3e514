//! A network that changes, and a socket that ends: the media goes on.

use serde_json::json;

use crate::client::{Client, number_of};
use crate::world::World;

#[tokio::test]
async fn both_connections_restart_ice_and_media_goes_on() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    ada.send_video(None, 1, true).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 1);

    ada.restart_publishing().await;
    ada.send_video(None, 2, false).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 2);

    ben.tell(json!({ "type": "restart" })).await;
    ben.take_offer().await;
    ada.send_video(None, 3, false).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 3);
}

#[tokio::test]
async fn who_comes_back_with_a_new_socket_goes_on_with_the_same_connections() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    ada.send_video(None, 1, true).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 1);
    let before = ben.joined["participant"].clone();
    drop(ben.reconnect(&world, 2).await);
    assert_eq!((ben.joined["participant"].clone(), &ben.joined["resumed"]), (before, &json!(true)));
    ada.send_video(None, 2, false).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 2);
    // What begins now is offered on the new socket.
    let mut cleo = Client::join(&world, 3).await;
    cleo.publish(&[]).await;
    let offer = ben.take_offer().await;
    assert_eq!(offer["sections"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_socket_that_was_replaced_ends_without_ending_the_new_one() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    // The old socket is half open: it is still there when the new one comes.
    let mut old = ben.reconnect(&world, 2).await;
    assert_eq!(ben.joined["resumed"], true);
    let reason = Client::farewell(&mut old).await;
    assert_eq!(reason["reason"], "joined_again");
    ada.send_video(None, 1, true).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 1);
    let mut cleo = Client::join(&world, 3).await;
    assert_eq!(cleo.joined["participants"].as_array().unwrap().len(), 2);
    cleo.publish(&[]).await;
    ben.take_offer().await;
}

#[tokio::test]
async fn an_offer_that_was_lost_with_the_socket_comes_again_on_the_next_one() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut ben = Client::join(&world, 2).await;
    ben.tell(json!({ "type": "subscribe" })).await;
    let lost = ben.frame("offer").await;
    drop(ben.reconnect(&world, 2).await);
    let again = ben.take_offer().await;
    assert_eq!((&again["serial"], &again["sdp"]), (&lost["serial"], &lost["sdp"]));
    ben.subscribe.connected().await;
    ada.publish.asked_for_key_frame(None).await;
    ada.send_video(None, 1, true).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 1);
}

#[tokio::test]
async fn what_took_a_section_while_an_offer_was_open_is_sent_once_it_was_offered_itself() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut cleo = Client::join(&world, 3).await;
    cleo.tell(json!({ "type": "subscribe" })).await;
    let first = cleo.frame("offer").await;
    ada.tell(json!({ "type": "leave" })).await;
    cleo.frame("participant_left").await;
    let mut dora = Client::join(&world, 4).await;
    dora.publish(&[]).await;
    cleo.answer(&first).await;
    cleo.subscribe.connected().await;
    let second = cleo.frame("offer").await;
    assert_eq!(second["sections"][0]["mid"], first["sections"][0]["mid"], "{second}");

    // The node has her picture now, and Cleo does not know of it.
    dora.send_video(None, 1, true).await;
    let came = |stats: &serde_json::Value, of: &str| {
        let all = stats[of].as_array().into_iter().flatten();
        all.map(|one| one["packets"].as_u64().unwrap()).sum::<u64>()
    };
    while came(&dora.frame("stats").await, "sent") == 0 {}
    assert_eq!(came(&cleo.frame("stats").await, "received"), 0);

    cleo.answer(&second).await;
    dora.publish.asked_for_key_frame(None).await;
    dora.send_video(None, 2, true).await;
    assert_eq!(number_of(&cleo.subscribe.packet().await.payload), 2);
}
