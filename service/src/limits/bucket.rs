//! A bucket of tokens: the arithmetic, which `bucket.lua` does as well.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::policy::Quota;
use crate::Redis;
use crate::redis::Away;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("bucket.lua")));

/// What a bucket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// How many tokens.
    pub(super) granted: u32,
    /// How many are left in it.
    pub(super) left: u32,
    /// How long until there is one more than that.
    pub(super) next: Duration,
    /// When, by the clock of who keeps the bucket, in microseconds.
    pub(super) now: u64,
}

impl Quota {
    /// How long one token takes to come back, in microseconds; rounded up, so that no more come
    /// than were promised.
    fn interval(self) -> u64 {
        let window = u64::try_from(self.window.as_micros()).unwrap_or(u64::MAX);
        window.div_ceil(u64::from(self.tokens)).max(1)
    }
}

/// A bucket in this process, with a clock of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    /// When it is full again, in microseconds.
    full: u64,
}

impl Bucket {
    /// Takes up to so many tokens at a time in microseconds.
    pub(super) fn take(&mut self, quota: Quota, now: u64, want: u32) -> Given {
        let (interval, size) = (quota.interval(), u64::from(quota.tokens));
        let span = interval * size;
        self.full = self.full.max(now).min(now + span);
        let there = (now + span - self.full) / interval;
        let granted = there.min(u64::from(want));
        self.full += granted * interval;
        let left = there - granted;
        let next = if left < size { self.full + (left + 1) * interval - now - span } else { 0 };
        let number = |n: u64| u32::try_from(n).expect("no more than the bucket holds");
        let (granted, left) = (number(granted), number(left));
        Given { granted, left, next: Duration::from_micros(next), now }
    }

    /// Holds no more than was left in another one, which had one more token at `next`.
    pub(super) fn follow(&mut self, quota: Quota, left: u32, next: u64) {
        if let Some(missing) = quota.tokens.checked_sub(left + 1) {
            self.full = self.full.max(next + u64::from(missing) * quota.interval());
        }
    }

    /// Whether nothing was taken of late.
    pub(super) const fn is_full(self, now: u64) -> bool {
        self.full <= now
    }
}

/// Takes up to so many tokens out of the bucket that all processes share.
pub(super) async fn take(
    redis: &Redis,
    name: &str,
    quota: Quota,
    want: u32,
) -> Result<Given, Away> {
    let key = redis.key(name);
    let (granted, left, next, now): (u32, u32, u64, u64) = redis
        .ask(|mut connection| async move {
            let mut call = SCRIPT.key(key);
            call.arg(quota.interval()).arg(quota.tokens).arg(want);
            call.invoke_async(&mut connection).await
        })
        .await?;
    Ok(Given { granted, left, next: Duration::from_micros(next), now })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::runtime::Runtime;
    use uuid::Uuid;

    use super::*;

    fn quota(tokens: u32, millis: u64) -> Quota {
        Quota { tokens, window: Duration::from_millis(millis) }
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_is_filled_evenly() {
        let mut bucket = Bucket::default();
        let three = quota(3, 60_000);
        let second = |n: u64| n * 1_000_000;
        let start = second(1000);
        let given = bucket.take(three, start, 2);
        assert_eq!((given.granted, given.left, given.next.as_secs()), (2, 1, 20));
        let given = bucket.take(three, start + second(5), 5);
        assert_eq!((given.granted, given.left, given.next.as_secs()), (1, 0, 15));
        assert_eq!(bucket.take(three, start + second(19), 1).granted, 0);
        assert_eq!(bucket.take(three, start + second(20), 1).granted, 1);
        assert!(!bucket.is_full(start + second(79)) && bucket.is_full(start + second(80)));
        // The clock is set back by a day: empty at the worst, and not for a day.
        assert_eq!(bucket.take(three, second(10), 1).next.as_secs(), 20);
    }

    #[test]
    fn a_bucket_that_follows_another_one_holds_what_that_one_would() {
        let (mut one, mut other) = (Bucket::default(), Bucket::default());
        let five = quota(5, 50_000);
        let given = one.take(five, 1_000_000, 3);
        other.follow(five, given.left, 1_000_000 + 10_000_000);
        assert_eq!(one, other);
        // What it gave itself counts as well.
        other.take(five, 2_000_000, 2);
        other.follow(five, given.left, 11_000_000);
        assert_eq!(other.take(five, 2_000_000, 1).granted, 0);
        // Of a full one there is nothing to follow.
        let mut full = Bucket::default();
        full.follow(five, 5, 0);
        assert_eq!(full, Bucket::default());
    }

    proptest! {
        /// Counted by hand, whatever is asked and whenever: from any grant to any later one no more
        /// passes than a full bucket and what came back meanwhile; and nobody is refused while the
        /// bucket cannot be empty.
        #[test]
        fn no_more_passes_than_was_promised_and_no_less(
            tokens in 1..20_u32,
            asked in proptest::collection::vec((0..400_u64, 1..6_u32), 1..60),
        ) {
            let quota = quota(tokens, u64::from(tokens));
            let (mut bucket, mut now, mut grants) = (Bucket::default(), 1_000_000, Vec::new());
            for (pause, want) in asked {
                now += pause * 10;
                let given = bucket.take(quota, now, want);
                prop_assert!(given.granted <= want);
                grants.push((now, u64::from(given.granted)));
                for from in 0..grants.len() {
                    let passed: u64 = grants[from..].iter().map(|(_, granted)| granted).sum();
                    let promised = u64::from(tokens) + (now - grants[from].0) / 1000;
                    prop_assert!(passed <= promised, "{passed} of {promised}");
                }
                let window = now.saturating_sub(u64::from(tokens) * 1000);
                let of_late: u64 =
                    grants.iter().filter(|(at, _)| *at > window).map(|(_, n)| n).sum();
                let refused = given.granted < want;
                prop_assert!(!refused || of_late >= u64::from(tokens));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The script tells its time, and the model is asked at that time.
        #[test]
        fn the_script_does_what_the_model_does(
            tokens in 1..40_u32,
            millis in 1..30_u64,
            wants in proptest::collection::vec(1..12_u32, 1..60),
        ) {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                let servers = servers::shared_for_tests().await.unwrap();
                let patience = Duration::from_secs(30);
                let redis =
                    Redis::with_patience(&servers.redis_url, &servers::prefix(), patience).unwrap();
                let quota = quota(tokens, millis);
                #[expect(clippy::disallowed_methods, reason = "a name that nobody used")]
                let name = format!("limit:model:{}", Uuid::new_v4());
                let mut model = Bucket::default();
                for want in wants {
                    let given = take(&redis, &name, quota, want).await.unwrap();
                    prop_assert_eq!(given, model.take(quota, given.now, want));
                }
                Ok(())
            })?;
        }
    }
}
