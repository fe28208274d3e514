//! Rebuilding projections beside the live ones: what is compared, what is switched, and that nobody
//! notices.

use std::str::FromStr;
use std::time::Duration;

use events::Position;
use projector::rebuild::{Compared, Difference, Job, Slot, discard, models, status};
use redis::AsyncCommands;
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{Connection, Executor, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::projections::live_a_little;
use crate::world::{World, dump, eventually, person};

fn all() -> Vec<&'static str> {
    models().iter().map(|model| model.name).collect()
}

async fn open(world: &World, names: &[&str], slot: Slot) -> anyhow::Result<Job> {
    let options = PgConnectOptions::from_str(&world.database.url).unwrap();
    Job::open(options, world.log.clone(), names, slot).await
}

async fn compared(job: &mut Job) -> (Vec<Compared>, Vec<Difference>) {
    let mut differences = vec![];
    let tables = job.compare(&mut |difference| differences.push(difference)).await.unwrap();
    (tables, differences)
}

/// Everything that could be lost with a table: what Postgres knows of all that is in `public`.
async fn catalogue(postgres: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select 'policy ' || p::text from pg_policies p where schemaname = 'public'
         union all select 'index ' || indexname || ' ' || indexdef from pg_indexes
         where schemaname = 'public'
         union all select 'view ' || viewname || ' ' || definition from pg_views
         where schemaname = 'public'
         union all select 'grant ' || g::text from information_schema.table_privileges g
         where table_schema = 'public'
         union all select 'column grant ' || g::text from information_schema.column_privileges g
         where table_schema = 'public'
         union all select 'table ' || relname || ' ' || relrowsecurity || ' '
           || coalesce(reloptions::text, '') || ' ' || coalesce(pg_get_partkeydef(oid), '')
         from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')
         union all select 'column ' || attrelid::regclass || ' ' || attname || ' '
           || format_type(atttypid, atttypmod) || ' ' || attnotnull || ' '
           || coalesce(pg_get_expr(adbin, adrelid), '') || ' ' || attgenerated::text
         from pg_attribute join pg_class c on c.oid = attrelid
         left join pg_attrdef on adrelid = attrelid and adnum = attnum
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')
           and attnum > 0 and not attisdropped
         union all select 'constraint ' || conrelid::regclass || ' ' || conname || ' '
           || pg_get_constraintdef(oid)
         from pg_constraint where connamespace = 'public'::regnamespace and conrelid <> 0
         order by 1",
    )
    .fetch_all(postgres)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_table_belongs_to_one_projection_or_is_known_to_belong_to_none() {
    let world = World::new().await;
    let not_derived = [
        "_sqlx_migrations",
        "file_removal",
        "message_horizon",
        "notification_delivery",
        "notification_follower",
        "parked_event",
        "projection_checkpoint",
        "projection_rebuild",
        "webhook_attempt",
        "webhook_lane",
    ];
    let mut known: Vec<&str> =
        models().iter().flat_map(|model| model.tables).map(|table| table.name).collect();
    known.extend(not_derived);
    known.sort_unstable();
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
         order by relname collate \"C\"",
    )
    .fetch_all(&world.postgres)
    .await
    .unwrap();
    // Whoever adds a table says in its projection's `TABLES` that it is its own, or adds it above.
    assert_eq!(tables, known);
    let others: Vec<String> = sqlx::query_scalar(
        "select 'trigger ' || tgname from pg_trigger
         union all select 'foreign key ' || conname from pg_constraint where contype = 'f'
         union all select 'sequence ' || relname from pg_class
         where relkind = 'S' and relnamespace = 'public'::regnamespace
           and not exists (
             select from pg_depend d join pg_class t on t.oid = d.refobjid
             where d.objid = pg_class.oid and t.relname = any($2))
         union all select 'late index of nowhere ' || name from unnest($1::text[]) as name
         where to_regclass(name) is null",
    )
    .bind(
        models()
            .iter()
            .flat_map(|it| it.tables)
            .flat_map(|it| it.late)
            .copied()
            .collect::<Vec<_>>(),
    )
    .bind(&not_derived[..])
    .fetch_all(&world.postgres)
    .await
    .unwrap();
    assert_eq!(others, [""; 0], "a switch knows nothing of these");
}

#[tokio::test]
async fn all_of_them_are_rebuilt_and_switched_and_everything_is_as_before() {
    let world = World::new().await;
    let _projector = world.start().await;
    let group = live_a_little(&world).await;
    world.settle().await;
    let (before, rows) = (catalogue(&world.postgres).await, dump(&world.postgres).await);
    let mut job = open(&world, &all(), Slot::Next).await.unwrap();
    job.build().await.unwrap();
    let (tables, differences) = compared(&mut job).await;
    assert_eq!(differences, vec![]);
    assert!(tables.iter().all(Compared::is_same));
    let messages = tables.iter().find(|it| it.table == "message").unwrap();
    assert_eq!((messages.live_rows, messages.next_rows), (7, 7));
    job.switch().await.unwrap();
    assert_eq!(catalogue(&world.postgres).await, before);
    assert_eq!(dump(&world.postgres).await, rows);
    // The runner of before goes on, on the tables that are there now.
    world.sign_up("zoe").await;
    world.send(person("ada"), group, "Five").await;
    world.settle().await;
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
}

#[tokio::test]
async fn what_differs_is_told_row_by_row_and_gone_after_the_switch() {
    let world = World::new().await;
    let _projector = world.start().await;
    live_a_little(&world).await;
    world.settle().await;
    let good = dump(&world.postgres).await;
    for damage in [
        "update user_profile set name = 'Nobody' where handle = 'ada'",
        "delete from user_profile where handle = 'bob'",
        "insert into user_profile (user_id, created_at, position)
         values ('00000000-0000-0000-0000-0000000000ff', now(), decode(repeat('00', 16), 'hex'))",
    ] {
        sqlx::query(damage).execute(&world.postgres).await.unwrap();
    }
    let mut job = open(&world, &["user_profile", "friend_list"], Slot::Next).await.unwrap();
    job.build().await.unwrap();
    let (tables, mut differences) = compared(&mut job).await;
    differences.sort_by_key(|it| it.difference.clone());
    let told: Vec<_> =
        differences.iter().map(|it| (&*it.difference, &*it.table, it.columns.clone())).collect();
    let none: Vec<String> = vec![];
    assert_eq!(
        told,
        [
            ("different", "user_profile", vec!["name".to_owned()]),
            ("only_live", "user_profile", none.clone()),
            ("only_next", "user_profile", none),
        ]
    );
    assert_eq!(differences[0].live.as_ref().unwrap()["name"], "Nobody");
    assert_eq!(differences[0].next.as_ref().unwrap()["name"], "ADA");
    assert_eq!(differences[2].key["user_id"], person("bob").to_string());
    assert_eq!(tables.iter().filter(|it| !it.is_same()).count(), 1);
    job.switch().await.unwrap();
    assert_eq!(dump(&world.postgres).await, good);
}

#[tokio::test]
async fn a_switch_can_be_switched_back_with_what_came_meanwhile() {
    let world = World::new().await;
    let _projector = world.start().await;
    live_a_little(&world).await;
    world.settle().await;
    sqlx::query("update user_profile set bio = 'of the old one' where handle = 'ada'")
        .execute(&world.postgres)
        .await
        .unwrap();
    let before = catalogue(&world.postgres).await;
    let mut job = open(&world, &["user_profile"], Slot::Next).await.unwrap();
    job.build().await.unwrap();
    job.switch().await.unwrap();
    world.sign_up("zoe").await;
    world.settle().await;
    drop_claims(&world).await;
    let job = open(&world, &["user_profile"], Slot::Old).await.unwrap();
    job.switch().await.unwrap();
    let bios: Vec<(String, Option<String>)> =
        sqlx::query_as("select handle, bio from user_profile order by handle")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    let row = |handle: &str, bio: Option<&str>| (handle.to_owned(), bio.map(str::to_owned));
    let expected =
        [row("ada", Some("of the old one")), row("bob", None), row("eve", None), row("zoe", None)];
    assert_eq!(bios, expected);
    assert_eq!(catalogue(&world.postgres).await, before);
    world.sign_up("yan").await;
    world.settle().await;
    // What was built is kept, and can be switched to again, or dropped.
    drop_claims(&world).await;
    let job = open(&world, &["user_profile"], Slot::Next).await.unwrap();
    job.switch().await.unwrap();
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
    drop_claims(&world).await;
    let mut db = world.postgres.acquire().await.unwrap();
    discard(&mut db, &["user_profile"], Slot::Old).await.unwrap();
    let mine = status(&mut db).await.unwrap();
    let mine = mine.iter().find(|it| it.projection == "user_profile").unwrap();
    assert!(mine.live.is_some() && mine.next.is_none() && mine.old.is_none(), "{mine:?}");
    assert!(open(&world, &["user_profile"], Slot::Old).await.is_err());
}

#[tokio::test]
async fn an_interrupted_rebuild_goes_on_and_two_at_once_are_refused() {
    let world = World::new().await;
    let _projector = world.start().await;
    let group = live_a_little(&world).await;
    world.settle().await;
    let mut job = open(&world, &["message", "read_cursor"], Slot::Next).await.unwrap();
    let second = open(&world, &["login"], Slot::Next).await.err().unwrap().to_string();
    assert!(second.contains("somebody else"), "{second}");
    job.build().await.unwrap();
    drop(job);
    let taken_up = || async { open(&world, &["message", "read_cursor"], Slot::Next).await.is_ok() };
    eventually("the claim of the one that ended is gone", taken_up).await;
    let mut other = None;
    eventually("somebody else may begin", || async {
        open(&world, &["login"], Slot::Next).await.is_ok()
    })
    .await;
    drop_claims(&world).await;
    let refused = open(&world, &["message"], Slot::Next).await;
    other.replace(refused.err().map(|error| error.to_string()));
    let said = other.flatten().unwrap();
    assert!(said.contains("roundtable rebuild message read_cursor"), "{said}");
    world.send(person("ada"), group, "Five").await;
    world.settle().await;
    drop_claims(&world).await;
    let mut job = open(&world, &["message", "read_cursor"], Slot::Next).await.unwrap();
    let progress = job.progress();
    job.build().await.unwrap();
    assert!(progress.borrow().from > Position::START, "it went on where it was");
    assert_eq!(compared(&mut job).await.1, vec![]);
    job.switch().await.unwrap();
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
}

#[tokio::test]
async fn readers_notice_nothing_of_many_switches_while_people_write() {
    let world = World::new().await;
    let _projector = world.start().await;
    let group = live_a_little(&world).await;
    world.settle().await;
    let ended = CancellationToken::new();
    let reading = tokio::spawn(read_on(world.postgres.clone(), group.uuid(), ended.clone()));
    let names = ["message", "member", "read_cursor", "conversation", "call_history", "file"];
    let switching = async {
        for round in 0..4 {
            let mut job = open(&world, &names, Slot::Next).await.unwrap();
            job.build().await.unwrap();
            assert_eq!(compared(&mut job).await.1, vec![], "round {round}");
            job.switch().await.unwrap();
            drop_claims(&world).await;
        }
        ended.cancel();
    };
    let writing = async {
        let mut said = 0_i64;
        while !ended.is_cancelled() {
            world.send(person("ada"), group, "More").await;
            said += 1;
        }
        said
    };
    let ((), said) = tokio::join!(switching, writing);
    let reads = reading.await.unwrap();
    assert!(reads > 20 && said > 20, "{reads} reads, {said} messages");
    world.settle().await;
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
}

/// Waits until the claim of a job that was dropped is gone.
async fn drop_claims(world: &World) {
    eventually("the claim is gone", || async {
        let held: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where application_name = 'rebuild' and datname = current_database()",
        )
        .fetch_one(&world.postgres)
        .await
        .unwrap();
        held == 0
    })
    .await;
}

/// Reads as query-api does: prepared statements, as the reader, at one moment for each. What was there
/// once is there for ever, and the tables are never behind the checkpoint.
async fn read_on(postgres: PgPool, group: Uuid, ended: CancellationToken) -> u64 {
    let mut db = postgres.acquire().await.unwrap();
    let (mut reads, mut most) = (0, 0_i64);
    while !ended.is_cancelled() {
        let begin = "begin isolation level repeatable read, read only";
        db.execute(begin).await.unwrap();
        db.execute("set local role roundtable_reader").await.unwrap();
        let reader = format!("set local roundtable.reader = '{}'", person("bob"));
        db.execute(&*reader).await.unwrap();
        let newest: (i64, i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from message where conversation_id = $1),
               (select message_count from message_counter where conversation_id = $1),
               (select count(*) from newest_message where conversation_id = $1),
               (select count(*) from unread_count where conversation_id = $1)",
        )
        .bind(group)
        .fetch_one(&mut *db)
        .await
        .unwrap();
        let (count, counted, newest, unread) = newest;
        assert!(count >= most, "{count} messages, and there were {most}");
        assert_eq!((count, newest), (counted, 1));
        assert!(unread >= 2);
        most = count;
        let members: i64 =
            sqlx::query_scalar("select count(*) from member").fetch_one(&mut *db).await.unwrap();
        assert_eq!(members, 2);
        sqlx::query("select * from file").fetch_all(&mut *db).await.unwrap();
        sqlx::query("select * from recording").fetch_all(&mut *db).await.unwrap();
        db.execute("commit").await.unwrap();
        reads += 1;
    }
    reads
}

#[tokio::test]
async fn a_rebuild_tells_nobody_and_carries_over_what_is_in_no_event() {
    let world = World::new().await;
    {
        let _projector = world.start().await;
        live_a_little(&world).await;
        world.settle().await;
    }
    sqlx::query(
        "insert into timer (key, kind, subject, person, due_at, source, set_by)
         values ('grace:1', 'grace', gen_random_uuid(), gen_random_uuid(), now() + interval '1 day',
           'presence', 'somebody')",
    )
    .execute(&world.postgres)
    .await
    .unwrap();
    let mut heard = PgListener::connect(&world.database.url).await.unwrap();
    heard.listen("roundtable_checkpoint").await.unwrap();
    let mut job = open(&world, &all(), Slot::Next).await.unwrap();
    job.build().await.unwrap();
    assert_eq!(compared(&mut job).await.1, vec![]);
    job.switch().await.unwrap();
    sqlx::query("select pg_notify('roundtable_checkpoint', 'the end')")
        .execute(&world.postgres)
        .await
        .unwrap();
    assert_eq!(heard.recv().await.unwrap().payload(), "the end");
    let timers: Vec<String> =
        sqlx::query_scalar("select key from timer").fetch_all(&world.postgres).await.unwrap();
    assert_eq!(timers, ["grace:1"]);
}

#[tokio::test]
async fn what_was_cached_of_the_old_tables_is_dropped_after_the_switch() {
    let world = World::new().await;
    let mut redis = world.redis().await;
    let _projector = world.start().await;
    live_a_little(&world).await;
    world.settle().await;
    let mine = world.names().key(&format!("friends:{}", person("zoe")));
    let others = world.names().key("presence:1");
    for key in [&mine, &others] {
        let _: () = redis.set(key, "old").await.unwrap();
    }
    let mut job = open(&world, &["friend_list"], Slot::Next).await.unwrap();
    job.build().await.unwrap();
    assert!(redis.exists::<_, bool>(&mine).await.unwrap(), "before the switch it is good");
    job.switch().await.unwrap();
    let gone = || {
        let (mut redis, mine) = (redis.clone(), mine.clone());
        async move { !redis.exists::<_, bool>(&mine).await.unwrap() }
    };
    eventually("what was cached is gone", gone).await;
    assert!(redis.exists::<_, bool>(&others).await.unwrap());
    let mut floor = redis.clone();
    let floor: String = floor.get(format!("{mine}:floor")).await.unwrap();
    let head = world.log.head().await.unwrap();
    assert!(floor > hex::encode(head.to_bytes()), "nor is anything older cached again");
}

#[tokio::test]
async fn tables_of_another_version_are_noticed_until_they_are_rebuilt() {
    let world = World::new().await;
    {
        let _projector = world.start().await;
        live_a_little(&world).await;
        world.settle().await;
    }
    sqlx::query("update projection_checkpoint set version = 0 where projection = 'member'")
        .execute(&world.postgres)
        .await
        .unwrap();
    let shutdown = CancellationToken::new();
    let _ended = shutdown.clone().drop_guard();
    let projector =
        projector::start(world.settings(), world.log.clone(), shutdown.clone()).await.unwrap();
    let ready = || async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, projector.health().routes()).into_future());
        let body = reqwest::get(url).await.unwrap().text().await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body["dependencies"]["projections"]["detail"].as_str().unwrap().to_owned()
    };
    let said = ready().await;
    assert!(said.contains("run `roundtable rebuild member`"), "{said}");
    let mut job = open(&world, &["member"], Slot::Next).await.unwrap();
    job.build().await.unwrap();
    job.switch().await.unwrap();
    assert_eq!(ready().await, "all of them are of this version");
}

#[tokio::test]
async fn a_connection_is_left_to_nobody() {
    let world = World::new().await;
    let _projector = world.start().await;
    live_a_little(&world).await;
    world.settle().await;
    let job = open(&world, &["login"], Slot::Next).await.unwrap();
    let switched = tokio::time::timeout(Duration::from_secs(30), job.switch()).await;
    switched.unwrap().unwrap();
    let mut db = sqlx::PgConnection::connect(&world.database.url).await.unwrap();
    let schemas: Vec<String> = sqlx::query_scalar(
        "select nspname::text from pg_namespace
         where nspname like 'next\\_%' or nspname like 'old\\_%'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert_eq!(schemas, ["old_login"]);
    drop_claims(&world).await;
}
