//! Chromium sends each codec, and RED around Opus, and another one decodes it: in two simulcast
//! layers, and in layers within one stream.

use serde_json::Value;

use crate::browser::{Site, open, site};
use crate::client::Client;
use crate::peer::Peer;
use crate::world::World;

/// The figures of the stream of one kind that somebody receives.
fn figures(site: &Site, name: &str, kind: &str) -> Value {
    let report = site.report(name);
    let streams = report["streams"].as_array().cloned().unwrap_or_default();
    streams.into_iter().find(|stream| stream["kind"] == kind).unwrap_or_default()
}

/// Somebody sends, somebody watches, and gets the small picture and the large one in turn.
async fn is_sent_and_seen(codec: &str, more: &str) {
    let (world, site) = (World::start().await, site().await);
    let _ada = open(&world, &site, "ada", 1, &format!("&codec={codec}{more}"));
    let _ben = open(&world, &site, "ben", 2, "&watch=yes");
    site.sees("ben", 1).await;
    let said = figures(&site, "ben", "video")["codec"].clone();
    assert_eq!(said.as_str().unwrap().to_lowercase(), format!("video/{}", codec.to_lowercase()));
    let height = || figures(&site, "ben", "video")["height"].as_u64();
    site.until("large", || height() == Some(360)).await;
    site.want(0);
    site.until("small", || height() == Some(180)).await;
    site.sees("ben", 1).await;
    site.want(1);
    site.until("large again", || height() == Some(360)).await;
    site.sees("ben", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sends_vp9_and_decodes_it() {
    is_sent_and_seen("VP9", "&mode=L1T2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sends_h264_and_decodes_it() {
    is_sent_and_seen("H264", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sends_av1_and_decodes_it() {
    is_sent_and_seen("AV1", "&mode=L1T2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sends_layers_within_one_stream_of_vp9() {
    is_sent_and_seen("VP9", "&svc=L2T2_KEY").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sends_layers_within_one_stream_of_av1() {
    is_sent_and_seen("AV1", "&svc=L2T2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sends_red_and_plays_it() {
    let (world, site) = (World::start().await, site().await);
    let _ada = open(&world, &site, "ada", 1, "&red=yes");
    let _ben = open(&world, &site, "ben", 2, "&watch=yes");
    site.sees("ben", 1).await;
    // Browsers tell what is inside only: another implementation shows what is on the way.
    let mut cleo = Client::join(&world, 3).await;
    cleo.subscribe = Peer::with_red().await;
    cleo.subscribe().await;
    let mut blocks = 0;
    while blocks < 20 {
        let packet = cleo.subscribe.packet().await;
        // A block of before: its type, its distance and its length; then the one of now.
        if let [first @ 0x80..=0xff, _, high, low, last, rest @ ..] = &packet.payload[..]
            && packet.header.payload_type != (first & 0x7f).into()
            && first & 0x7f == *last
        {
            let len = usize::from(u16::from_be_bytes([high & 3, *low]));
            assert!(rest.len() > len && len > 0, "{len} of {}", rest.len());
            blocks += 1;
        }
    }
}
