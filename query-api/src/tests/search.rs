//! Looking for messages by their words, where there are too many to go through all of them.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Stage, at, id};

/// Of word `w{k}` there is one in every `k` messages; that of 1 is in all, that of 701 in four.
const WORDS: [u32; 6] = [1, 2, 3, 50, 400, 701];

const MESSAGES: u32 = 3000;

/// Messages in three conversations, of which the reader is in two, by four people.
async fn fill(stage: &Stage, reader: Uuid) {
    let statement = format!(
        "insert into member (conversation_id, user_id, role, joined_at, position)
         select lpad(c::text, 32, '0')::uuid, '{reader}', 'member', now(), decode(repeat('0', 32), 'hex')
         from generate_series(1, 2) c;
         insert into message_search (message_id, conversation_id, sender_id, sent_at, position, words)
         select lpad(n::text, 32, '0')::uuid, conversation, lpad((n % 4)::text, 32, '0')::uuid, now(),
           decode(repeat(lpad(to_hex(n), 16, '0'), 2), 'hex'),
           (select string_agg(quote_literal(search_scope(conversation) || 'w' || k || 'x'), ' ')
            from unnest(array{WORDS:?}) k where n % k = 0)::tsvector
         from generate_series(1, {MESSAGES}) n,
           lateral (select lpad((1 + n % 3)::text, 32, '0')::uuid as conversation) of"
    );
    stage.sql(&statement).await;
    stage.sql("analyze message_search").await;
}

async fn found(
    eyes: &mut PgConnection,
    template: &str,
    only: (Option<Uuid>, Option<Uuid>),
    before: u64,
    most: i64,
) -> Vec<Uuid> {
    sqlx::query_scalar(
        "select message_id from search_messages($1, $2, $3, $4, $5) order by position desc",
    )
    .bind(template)
    .bind(only.0)
    .bind(only.1)
    .bind(at(before))
    .bind(most)
    .fetch_all(eyes)
    .await
    .unwrap()
}

/// What there is to be found, known from how the messages were made.
fn expected(
    words: &[u32],
    only: (Option<Uuid>, Option<Uuid>),
    before: u32,
    most: usize,
) -> Vec<Uuid> {
    let number = |number: u32| Uuid::parse_str(&format!("{number:032}")).unwrap();
    (1..=MESSAGES.min(before - 1))
        .rev()
        .filter(|n| words.iter().all(|k| n % k == 0))
        .filter(|n| n % 3 < 2 && only.0.is_none_or(|one| one == number(1 + n % 3)))
        .filter(|n| only.1.is_none_or(|one| one == number(n % 4)))
        .take(most)
        .map(number)
        .collect()
}

#[tokio::test]
async fn whichever_words_are_common_the_newest_hits_are_found() {
    let (stage, ada) = (Stage::new().await, id());
    fill(&stage, ada).await;
    let number = |number: u32| Some(Uuid::parse_str(&format!("{number:032}")).unwrap());
    let onlies = [(None, None), (number(2), None), (None, number(0)), (number(1), number(2))];
    let mut eyes = stage.reads.eyes_of(ada.into()).await.unwrap();
    let mut hits = 0;
    for first in WORDS {
        for second in WORDS {
            let words = [first, second];
            let template = format!("'~w{first}x' & '~w{second}':*");
            for only in onlies {
                for (before, most) in [(3001, 2), (2222, 4), (30, 1)] {
                    let found = found(&mut eyes, &template, only, before.into(), most as i64).await;
                    assert_eq!(found, expected(&words, only, before, most), "{template} {only:?}");
                    hits += found.len();
                }
            }
        }
    }
    assert!(hits > 300, "{hits}");
}

#[tokio::test]
async fn beside_a_common_word_only_the_rare_one_is_looked_up() {
    let (stage, ada) = (Stage::new().await, id());
    fill(&stage, ada).await;
    let lead = async |template: &str| -> String {
        sqlx::query_scalar(
            "select search_lead(array_agg(conversation_id), $1, null, $2, 400) from member",
        )
        .bind(template)
        .bind(at(u64::from(MESSAGES) + 1))
        .fetch_one(&stage.owner)
        .await
        .unwrap()
    };
    assert_eq!(lead("'~w1x':* & '~w701x':*").await, "'~w701x':*");
    assert_eq!(lead("'~w400x' & '~w2x':* & '~w3x':*").await, "'~w400x'");
    assert_eq!(lead("'~w2x':* & '~w3x':*").await, "'~w2x':* & '~w3x':*");
    assert_eq!(lead("'~w701x':*").await, "'~w701x':*");
}
