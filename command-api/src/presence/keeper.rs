//! Keeps Redis informed of who is at this gateway, and sweeps after gateways that died.

use std::sync::Arc;
use std::time::Duration;

use service::redis::Away;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::here::{Here, Word};
use super::memory::{Due, Memory};
use super::{Pace, about};

/// How many people are in one script: none may keep Redis from others for long.
const AT_ONCE: usize = 256;

/// Who comes within so long goes to Redis together.
const TOGETHER: Duration = Duration::from_millis(25);

/// How long after Redis did not answer it is tried again, and up to a half longer.
const PAUSE: Duration = Duration::from_secs(1);

/// The one task of a gateway that writes its part of presence.
pub(super) struct Keeper {
    pub(super) here: Arc<Here>,
    pub(super) memory: Memory,
    pub(super) pace: Pace,
    /// Tells the teller when something is due.
    pub(super) sooner: watch::Sender<Instant>,
}

/// When what is done next, and which memory it was that everything was said to.
struct Course {
    renew: Instant,
    sweep: Instant,
    epoch: String,
    /// Redis did not answer: news waits until then.
    rest: Option<Instant>,
}

impl Keeper {
    /// Runs until the shutdown, and says then that everybody will soon be somewhere else.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let now = Instant::now();
        let mut course = Course {
            renew: now + about(self.pace.renewal / 2),
            sweep: now,
            epoch: String::new(),
            rest: None,
        };
        if shutdown.run_until_cancelled(self.keep(&mut course)).await.is_none() {
            // Failing that, the words run out.
            let _ = self.vouch(&self.here.words(), self.pace.farewell, &mut course).await;
        }
    }

    async fn keep(&self, course: &mut Course) {
        loop {
            let news = async {
                match course.rest {
                    Some(rest) => tokio::time::sleep_until(rest).await,
                    None => self.here.changed().await,
                }
            };
            tokio::select! {
                () = news => {
                    tokio::time::sleep(TOGETHER).await;
                    let said = self.say_news(course).await;
                    course.rest = said.err().map(|Away| Instant::now() + about(PAUSE));
                }
                () = tokio::time::sleep_until(course.renew) => self.renew(course).await,
                () = tokio::time::sleep_until(course.sweep) => {
                    self.sweep().await;
                    course.sweep = Instant::now() + about(self.pace.sweep / 2);
                }
            }
        }
    }

    async fn say_news(&self, course: &mut Course) -> Result<(), Away> {
        while self.here.has_news() {
            let news = self.here.news(AT_ONCE);
            if !news.here.is_empty() {
                let known = &course.epoch;
                let said = self.memory.vouch(&news.here, self.pace.lifetime, known).await;
                let (epoch, due) = said?;
                if course.epoch.is_empty() {
                    course.epoch = epoch;
                } else if course.epoch != epoch {
                    course.renew = Instant::now();
                }
                self.here.said(&news.here);
                self.due(due);
            }
            if !news.gone.is_empty() {
                let left = self.memory.leave(&news.gone, self.pace.grace, &course.epoch).await?;
                self.here.said_gone(&news.gone);
                self.due(left);
            }
        }
        Ok(())
    }

    /// Renews the word for everybody: with Redis away, again and again until it is back.
    async fn renew(&self, course: &mut Course) {
        let renewed = self.say_all(course).await;
        course.renew = Instant::now()
            + match renewed {
                Ok(()) => self.pace.renewal,
                Err(Away) => about(PAUSE.min(self.pace.renewal)),
            };
    }

    /// News first: who went while Redis was away was told of to the memory that is gone, and is
    /// taken back by its epoch. As long as there is somebody of whom that was not said, the memory
    /// that is there now is not taken for the one that knows them.
    async fn say_all(&self, course: &mut Course) -> Result<(), Away> {
        self.say_news(course).await?;
        let (words, known) = (self.here.words(), course.epoch.clone());
        let somebody_went = self.here.has_gone();
        self.vouch(&words, self.pace.lifetime, course).await?;
        if somebody_went {
            course.epoch = known;
        }
        Ok(())
    }

    /// Only when all words were renewed is the memory known as the one that has them: until then
    /// each word says itself that it was told before to another one.
    async fn vouch(
        &self,
        words: &[Word],
        lifetime: Duration,
        course: &mut Course,
    ) -> Result<(), Away> {
        let mut epoch = None;
        for words in words.chunks(AT_ONCE) {
            let (current, due) = self.memory.vouch(words, lifetime, &course.epoch).await?;
            epoch = Some(current);
            self.due(due);
        }
        course.epoch = epoch.unwrap_or_else(|| std::mem::take(&mut course.epoch));
        Ok(())
    }

    async fn sweep(&self) {
        let Pace { lifetime, gap, chance, .. } = self.pace;
        // With Redis away, nobody's word runs out.
        while let Ok((swept, due)) = self.memory.sweep(AT_ONCE, lifetime, gap, chance).await {
            self.due(due);
            if swept < AT_ONCE {
                break;
            }
        }
    }

    fn due(&self, due: Due) {
        if let Some(due) = due {
            let at = Instant::now() + due;
            self.sooner.send_if_modified(|known| {
                // The teller looks at the time by itself: what is past has been seen.
                let sooner = at < *known || *known <= Instant::now();
                if sooner {
                    *known = at;
                }
                sooner
            });
        }
    }
}
