//! The files of scavenged segments: smaller, one for each segment, checked, and cleaned up.

use std::fs;

use event_store::Error;
use serde_json::json;

use super::{revisions_of, stage::Stage};
use crate::serving::Served;

async fn scavenged() -> Stage {
    let stage = Stage::new().await;
    stage.append("a", 20).await;
    stage.append("b", 20).await;
    stage.rules("a", json!({ "$tb": 5 })).await;
    stage.rules("b", json!({ "$maxCount": 10 })).await;
    stage.close_segment().await;
    stage.scavenge_well().await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_scavenge_finds_nothing_and_a_third_goes_on_where_the_first_ended() {
    let mut stage = scavenged().await;
    let files = stage.files();
    let again = stage.scavenge_well().await;
    assert_eq!(again["recordsRemoved"], json!(0));
    for (base, generations) in &files {
        assert_eq!(generations.len(), 1, "of {base} there is one file");
        assert!(generations[0].0 <= 1);
    }
    stage.rules("a", json!({ "$tb": 12 })).await;
    stage.rules("b", json!({ "$maxCount": 3 })).await;
    stage.close_segment().await;
    let third = stage.scavenge_well().await;
    // The rules that were replaced can go as well.
    assert_eq!(third["recordsRemoved"], json!(7 + 7 + 2), "{third}");
    assert!(stage.files().values().all(|generations| generations.len() == 1));
    assert!(stage.files().values().any(|generations| generations[0].0 == 2));
    for _ in 0..2 {
        assert_eq!(stage.revisions("a").await, Ok((12..20).collect()));
        assert_eq!(revisions_of(&stage.all().await, "b"), [17, 18, 19]);
        stage = stage.reopen().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_shrink_by_what_the_scavenge_says() {
    let stage = Stage::with(|config| config.segment_bytes = 20_000).await;
    for _ in 0..10 {
        stage.append("cut", 40).await;
        stage.append("kept", 4).await;
    }
    stage.rules("cut", json!({ "$maxCount": 1 })).await;
    stage.append("kept", 200).await;
    let before = stage.bytes();
    let said = stage.scavenge_well().await;
    let freed = said["spaceSaved"].as_u64().expect("a number");
    // What the scavenge writes about itself is at the end of the log.
    let written = 20_000;
    assert!(freed > before / 2 && stage.bytes() < before - freed + written, "{freed} of {before}");
    assert!(said["segmentsRewritten"].as_u64() > Some(1), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_interrupted_scavenge_left_is_removed_at_the_next_start() {
    let stage = scavenged().await;
    let all = stage.all().await;
    let files = stage.files();
    let (base, _) =
        files.iter().find(|(_, generations)| generations[0].0 == 1).expect("a scavenged one");
    let folder = stage.data.path().to_owned();
    let path = |end: &str| folder.join(format!("log-{base}{end}"));
    stage.served.stop().await;
    fs::write(path(".2.new"), b"half of a segment").expect("written");
    fs::write(path(".1.new"), b"").expect("written");
    fs::write(path(""), b"the old one, which the name of the new one has replaced").expect("old");
    let served = Served::with(stage.config.clone()).await.expect("it opens");
    let stage = Stage { client: super::stage::connect(&served), served, ..stage };
    assert_eq!(stage.all().await, all);
    assert!(!path(".2.new").exists() && !path(".1.new").exists() && !path("").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_of_a_scavenged_segment_can_change_unnoticed() {
    let stage = scavenged().await;
    let files = stage.files();
    let path = files
        .values()
        .map(|generations| &generations[0])
        .filter(|(generation, ..)| *generation == 1)
        .max_by_key(|(.., length)| *length)
        .map(|(_, path, _)| path.clone())
        .expect("a scavenged one");
    stage.served.stop().await;
    let whole = fs::read(&path).expect("a segment");
    for offset in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x55;
        fs::write(&path, &bytes).expect("corrupted");
        let opened = Served::with(stage.config.clone()).await;
        assert!(matches!(opened.err(), Some(Error::Corrupt { .. })), "byte {offset}");
    }
    for length in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).expect("cut");
        let opened = Served::with(stage.config.clone()).await;
        assert!(matches!(opened.err(), Some(Error::Corrupt { .. })), "cut to {length}");
    }
    fs::write(&path, &whole).expect("restored");
    Served::with(stage.config.clone()).await.expect("it opens").stop().await;
}
