//! No picture stands still: the layer of before goes on until the key frame of the next is there,
//! key frames are asked for at once, and a layer that stops is not waited for. Time is that of the
//! media, which is as slow as the machine.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::client::{Client, number_of};
use crate::peer::Fact;
use crate::relay::{Relay, Weather, media_address};
use crate::simulcast::video;
use crate::world::{World, pace};

const LAYERS: &[&str] = &["low", "high"];

/// A layer's numbers begin here.
const STEP: u64 = 30_000;

/// Pictures a second.
const PICTURES: u64 = 50;

/// A publisher of two layers, and a subscriber behind a link that is slow to answer.
struct Scene {
    _world: World,
    _relays: [Relay; 2],
    ada: Client,
    ben: Client,
    /// The picture that is sent now.
    now: u64,
    /// When a key frame of each layer is due.
    due: [Option<u64>; 2],
    /// How long the encoder takes until it is.
    slowness: u64,
    high_stopped: bool,
    /// Layer and number of what arrived.
    seen: Vec<(u64, u64)>,
    /// When key frames of each layer were asked for first since that was last looked at.
    asked: [Option<u64>; 2],
}

impl Scene {
    async fn new() -> Self {
        let world = World::start().await;
        let sfu = media_address(&world).await;
        let far = Weather { lose_one_of: 0, delay: Duration::from_millis(40) };
        let (up, down) = (Relay::to(sfu, far).await, Relay::to(sfu, far).await);
        let mut ada = Client::join_via(&world, 1, Some(up.address), None).await;
        ada.publish(LAYERS).await;
        let mut ben = Client::join_via(&world, 2, None, Some(down.address)).await;
        ben.subscribe().await;
        Self {
            _world: world,
            _relays: [up, down],
            ada,
            ben,
            now: 0,
            due: [Some(0), Some(0)],
            slowness: 0,
            high_stopped: false,
            seen: Vec::new(),
            asked: [None, None],
        }
    }

    async fn prefer(&mut self, track: &serde_json::Value, layer: usize) {
        let frame = json!({ "type": "prefer", "id": 1, "track": track, "layer": layer });
        self.ben.tell(frame).await;
        self.ben.frame("done").await;
    }

    /// Sends and receives until so many pictures in a row were of a layer.
    async fn until(&mut self, layer: u64, count: usize) {
        let mut pace = pace(Duration::from_millis(1000 / PICTURES));
        let begun = self.now;
        loop {
            let last = self.seen.iter().rev().take(count);
            if last.len() == count && last.into_iter().all(|(of, _)| *of == layer) {
                return;
            }
            assert!(self.now < begun + 20 * PICTURES, "never layer {layer}");
            tokio::select! {
                _ = pace.tick() => self.send().await,
                fact = self.ada.publish.next() => if let Fact::KeyFrame(Some(rid)) = fact {
                    let at = LAYERS.iter().position(|layer| rid == (*layer).into()).unwrap();
                    self.due[at].get_or_insert(self.now + self.slowness);
                    self.asked[at].get_or_insert(self.now);
                },
                packet = self.ben.subscribe.packet() => if packet.payload.len() > 24 {
                    let number = number_of(&packet.payload);
                    let found = (number / STEP, number % STEP);
                    if !self.seen.contains(&found) {
                        self.seen.push(found);
                    }
                },
            }
        }
    }

    async fn send(&mut self) {
        self.now += 1;
        for (index, rid) in LAYERS.iter().enumerate() {
            let key = self.due[index].take_if(|due| *due <= self.now).is_some();
            if index == 0 || !self.high_stopped {
                self.ada.send_video(Some(rid), index as u64 * STEP + self.now, key).await;
            }
        }
    }

    /// The longest step between pictures that arrived, of whichever layer.
    fn longest_gap(&self) -> u64 {
        let numbers: BTreeSet<u64> = self.seen.iter().map(|(_, number)| *number).collect();
        let numbers: Vec<u64> = numbers.into_iter().collect();
        numbers.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layer_of_before_goes_on_until_the_key_frame_of_the_next() {
    let mut scene = Scene::new().await;
    let track = video(&Client::join(&scene._world, 3).await.joined);
    scene.prefer(&track, 0).await;
    scene.until(0, 30).await;
    // The encoder takes half a second for a key frame.
    scene.slowness = PICTURES / 2;
    for layer in [1, 0, 1, 0] {
        scene.asked = [None, None];
        let begun = scene.now;
        scene.prefer(&track, usize::try_from(layer).unwrap()).await;
        scene.until(layer, 30).await;
        let asked = scene.asked[usize::try_from(layer).unwrap()].unwrap() - begun;
        assert!(asked < PICTURES / 2, "a key frame was asked for after {asked} pictures");
    }
    assert_eq!(scene.longest_gap(), 1, "no picture is missing: {:?}", scene.seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_stops_is_replaced_within_a_second() {
    let mut scene = Scene::new().await;
    scene.until(1, 60).await;
    scene.high_stopped = true;
    scene.until(0, 30).await;
    assert!(scene.longest_gap() < PICTURES, "{} pictures are missing", scene.longest_gap());
    eprintln!("{} of {PICTURES} pictures a second are missing", scene.longest_gap());
}
