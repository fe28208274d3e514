//! Who speaks: from the levels that the packets themselves carry (RFC 6464), without flicker.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How often it is decided.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// Louder than this is speech, in decibels above the quietest.
const SPEECH: f64 = 127.0 - 55.0;

/// By how many decibels somebody must be louder than who speaks.
const MARGIN: f64 = 3.0;

/// For how many ticks in a row: a cough is shorter.
const TICKS: u32 = 3;

#[derive(Debug, Default)]
struct Voice {
    loudness: f64,
    heard: Option<Instant>,
    louder: u32,
}

/// Everybody's voice, and who is the dominant speaker.
#[derive(Debug)]
pub(crate) struct Speakers<K> {
    voices: HashMap<K, Voice>,
    current: Option<K>,
}

impl<K> Default for Speakers<K> {
    fn default() -> Self {
        Self { voices: HashMap::new(), current: None }
    }
}

impl<K: Copy + Eq + Hash + Ord> Speakers<K> {
    /// A packet of somebody is so many decibels below the loudest: 0 to 127.
    pub(crate) fn hear(&mut self, who: K, below: u8, now: Instant) {
        let voice = self.voices.entry(who).or_default();
        let loudness = 127.0 - f64::from(below & 0x7f);
        // Rises within a few packets, falls within half a second.
        let share = if loudness > voice.loudness { 0.3 } else { 0.04 };
        voice.loudness += (loudness - voice.loudness) * share;
        voice.heard = Some(now);
    }

    /// Somebody is not there any more.
    pub(crate) fn forget(&mut self, who: K) {
        self.voices.remove(&who);
        if self.current == Some(who) {
            self.current = None;
        }
    }

    /// Decides again; to be called every [`TICK`]. Returns the new speaker when it changed.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<K> {
        for voice in self.voices.values_mut() {
            // Who sends nothing (a pause without transmission, a mute) is silent.
            if voice.heard.is_none_or(|heard| now - heard > 2 * TICK) {
                voice.loudness *= 0.5;
            }
        }
        let current = self.current.and_then(|who| self.voices.get(&who));
        let bar = current.map_or(0.0, |voice| voice.loudness + MARGIN).max(SPEECH);
        let speaking = self.current;
        let mut loudest: Option<(f64, K)> = None;
        for (who, voice) in &mut self.voices {
            let louder = Some(*who) != speaking && voice.loudness > bar;
            voice.louder = if louder { voice.louder + 1 } else { 0 };
            let better = loudest.is_none_or(|best| (voice.loudness, *who) > best);
            if voice.louder >= TICKS && better {
                loudest = Some((voice.loudness, *who));
            }
        }
        let (_, who) = loudest?;
        self.voices.values_mut().for_each(|voice| voice.louder = 0);
        self.current = Some(who);
        Some(who)
    }

    /// Who speaks now, or did last.
    pub(crate) fn current(&self) -> Option<K> {
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays levels for a time and returns the changes.
    fn play(
        speakers: &mut Speakers<u8>,
        at: &mut Instant,
        millis: u64,
        levels: &[(u8, u8)],
    ) -> Vec<u8> {
        let mut changes = Vec::new();
        for step in 0..millis / 20 {
            for (who, level) in levels {
                speakers.hear(*who, *level, *at);
            }
            *at += Duration::from_millis(20);
            if step % 10 == 9 {
                changes.extend(speakers.tick(*at));
            }
        }
        changes
    }

    #[test]
    fn who_speaks_becomes_the_speaker_within_a_second() {
        let (mut speakers, mut at) = (Speakers::default(), Instant::now());
        assert_eq!(play(&mut speakers, &mut at, 1000, &[(1, 127), (2, 100)]), [0u8; 0]);
        assert_eq!(play(&mut speakers, &mut at, 1000, &[(1, 30), (2, 100)]), [1]);
        assert_eq!(play(&mut speakers, &mut at, 1500, &[(1, 120), (2, 30)]), [2]);
    }

    #[test]
    fn a_cough_changes_nothing() {
        let (mut speakers, mut at) = (Speakers::default(), Instant::now());
        assert_eq!(play(&mut speakers, &mut at, 1000, &[(1, 40), (2, 127)]), [1]);
        assert_eq!(play(&mut speakers, &mut at, 200, &[(1, 40), (2, 20)]), [0u8; 0]);
        assert_eq!(play(&mut speakers, &mut at, 2000, &[(1, 40), (2, 127)]), [0u8; 0]);
    }

    #[test]
    fn two_who_are_equally_loud_do_not_flicker() {
        let (mut speakers, mut at) = (Speakers::default(), Instant::now());
        let mut changes = Vec::new();
        for step in 0..50u8 {
            let levels = [(1, 40 + step % 3), (2, 40 + (step + 1) % 3)];
            changes.extend(play(&mut speakers, &mut at, 400, &levels));
        }
        assert_eq!(changes.len(), 1, "{changes:?}");
    }

    #[test]
    fn silence_keeps_the_last_speaker_and_who_leaves_is_none() {
        let (mut speakers, mut at) = (Speakers::default(), Instant::now());
        play(&mut speakers, &mut at, 1000, &[(1, 30)]);
        assert_eq!(play(&mut speakers, &mut at, 5000, &[(1, 127), (2, 127)]), [0u8; 0]);
        assert_eq!(speakers.current(), Some(1));
        speakers.forget(1);
        assert_eq!(speakers.current(), None);
    }
}
