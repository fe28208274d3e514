
use std::sync::Arc;
use std::time::{Duration, Instant};
use crate::world::{World, person};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bench_thousand() {
    let world = Arc::new(World::new().await);
    let _projector = world.start().await;
    let mut groups = vec![];
    for _ in 0..20 { groups.push(world.group(person("ada"), &[person("bob"), person("eve")]).await); }
    world.settle().await;
    println!("GO");
    let began = Instant::now();
    let mut tasks = vec![];
    for t in 0..8 {
        let (world, groups) = (world.clone(), groups.clone());
        tasks.push(tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_micros(8000));
            for n in 0..1250 {
                every.tick().await;
                let sent = world.send(person("ada"), groups[(n + t) % 20], "Some words that somebody says to somebody else, of middling length").await;
                if n % 25 == 3 { world.receipt(person("bob"), groups[(n + t) % 20], sent, domain::receipt::Kind::Read).await; }
            }
        }));
    }
    for t in tasks { t.await.unwrap(); }
    let sent = began.elapsed();
    world.settle().await;
    println!("STOP sent 10000 in {:?}, settled {:?} later", sent, began.elapsed() - sent);

    let again = world.servers.database().await.unwrap();
    let postgres = sqlx::PgPool::connect(&again.url).await.unwrap();
    let settings = projector::Settings { postgres_url: again.url.clone(), namespace: servers::prefix(), ..world.settings() };
    let shutdown = tokio_util::sync::CancellationToken::new();
    projector::start(settings, world.log.clone(), shutdown.clone()).await.unwrap();
    let began = Instant::now();
    let head = world.log.head().await.unwrap();
    crate::world::settled(&postgres, head).await;
    println!("rebuilt in {:?}", began.elapsed());
    assert!(crate::world::dump(&postgres).await == crate::world::dump(&world.postgres).await);
}
