//! Recording, which takes the consent of everybody in the call, all the time.

use std::collections::BTreeSet;

use events::call::{Carrier, Participant, StopCause};
use events::serde::Serialize;
use events::{CallEvent, FileId, RecordingId, UserId};

use super::command::Rejection;
use super::{Begun, Call, Decision, MAX_RECORDINGS};

/// What is known of a recording.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(crate = "events::serde")]
pub(super) struct Recording {
    /// The node that was to write it.
    node: Option<String>,
    runs: bool,
    /// Whether anybody was connected to the node meanwhile.
    heard: bool,
    failed: bool,
    files: BTreeSet<FileId>,
}

impl Recording {
    pub(super) const fn begun(node: Option<String>, heard: bool) -> Self {
        Self { node, runs: true, heard, failed: false, files: BTreeSet::new() }
    }

    pub(super) const fn hear(&mut self) {
        self.heard = true;
    }

    pub(super) const fn stop(&mut self) {
        self.runs = false;
    }

    pub(super) const fn fail(&mut self) {
        self.failed = true;
    }

    pub(super) fn keep(&mut self, file: FileId) {
        self.files.insert(file);
    }
}

/// A file of a recording.
pub(super) struct Stored<'a> {
    pub(super) recording: RecordingId,
    pub(super) file: FileId,
    pub(super) of: Option<Participant>,
    pub(super) source: Option<&'a String>,
    pub(super) milliseconds: u64,
    pub(super) offset: Option<u64>,
}

impl Call {
    /// Who asks agrees. Asking again reminds nobody.
    pub(super) fn ask_consent(&self, by: Participant) -> Decision {
        let begun = self.with(by)?;
        let (call, conversation, user) = (begun.call, begun.conversation, by.user);
        Ok(match begun.consent {
            None => vec![CallEvent::ConsentAsked { call, conversation, by: user }],
            Some(_) if begun.agrees(user) => vec![],
            Some(_) => vec![CallEvent::ConsentGiven { call, conversation, user }],
        })
    }

    pub(super) fn consent(&self, by: Participant, agrees: bool) -> Decision {
        let begun = self.with(by)?;
        let (call, conversation, user) = (begun.call, begun.conversation, by.user);
        let said = begun.consent.as_ref().ok_or(Rejection::NotAsked)?.get(&user);
        if said == Some(&agrees) {
            return Ok(vec![]);
        }
        if agrees {
            return Ok(vec![CallEvent::ConsentGiven { call, conversation, user }]);
        }
        let stopped = begun.stop_recording(StopCause::Withdrawn);
        let withdrawn = CallEvent::ConsentWithdrawn { call, conversation, user };
        Ok(stopped.into_iter().chain([withdrawn]).collect())
    }

    /// The call, if this device is in it and its person may record it.
    fn recordable(&self, by: Participant, moderator: bool) -> Result<&Begun, Rejection> {
        let begun = self.with(by)?;
        match begun.direct || begun.by == by.user || moderator {
            true => Ok(begun),
            false => Err(Rejection::MayNotRecord),
        }
    }

    pub(super) fn record(
        &self,
        by: Participant,
        recording: RecordingId,
        moderator: bool,
    ) -> Decision {
        let begun = self.recordable(by, moderator)?;
        match begun.recordings.get(&recording) {
            Some(Recording { runs: true, .. }) => return Ok(vec![]),
            Some(_) => return Err(Rejection::RecordingExists),
            None => {}
        }
        if begun.carrier != Carrier::Sfu {
            return Err(Rejection::NotOnSfu);
        }
        if begun.runs().is_some() {
            return Err(Rejection::RecordingRuns);
        }
        if !begun.users().into_iter().all(|user| begun.agrees(user)) {
            return Err(Rejection::NoConsent);
        }
        if begun.recordings.len() >= MAX_RECORDINGS {
            return Err(Rejection::TooManyRecordings);
        }
        let (call, conversation, by) = (begun.call, begun.conversation, by.user);
        Ok(vec![CallEvent::RecordingStarted { call, conversation, recording, by }])
    }

    pub(super) fn record_no_more(
        &self,
        by: Participant,
        recording: RecordingId,
        moderator: bool,
    ) -> Decision {
        let begun = self.recordable(by, moderator)?;
        if !begun.recordings.contains_key(&recording) {
            return Err(Rejection::NoSuchRecording);
        }
        Ok(match begun.runs() == Some(recording) {
            true => begun.stop_recording(StopCause::Stopped),
            false => vec![],
        })
    }

    /// Files are stored after the recording stopped, and often after the call ended.
    pub(super) fn store_recording(&self, stored: &Stored<'_>) -> Decision {
        let Stored { recording, file, of, source, milliseconds, offset } = *stored;
        let begun = self.known()?;
        let known = begun.recordings.get(&recording).ok_or(Rejection::NoSuchRecording)?;
        if known.files.contains(&file) {
            return Ok(vec![]);
        }
        let (call, conversation) = (begun.call, begun.conversation);
        Ok(vec![CallEvent::RecordingStored {
            call,
            conversation,
            recording,
            file,
            of,
            source: source.cloned(),
            milliseconds,
            offset,
        }])
    }

    pub(super) fn fail_recording(&self, recording: RecordingId, reason: &str) -> Decision {
        let begun = self.known()?;
        let known = begun.recordings.get(&recording).ok_or(Rejection::NoSuchRecording)?;
        if known.failed {
            return Ok(vec![]);
        }
        let (call, conversation, reason) = (begun.call, begun.conversation, reason.to_owned());
        Ok(vec![CallEvent::RecordingFailed { call, conversation, recording, reason }])
    }
}

impl Begun {
    /// Whether somebody has agreed to be recorded.
    pub fn agrees(&self, user: UserId) -> bool {
        self.consent.as_ref().is_some_and(|said| said.get(&user) == Some(&true))
    }

    /// The recording that runs.
    pub fn runs(&self) -> Option<RecordingId> {
        self.recordings.iter().find(|(_, recording)| recording.runs).map(|(id, _)| *id)
    }

    /// Whether a recording has a file.
    pub fn has_files(&self, recording: RecordingId) -> bool {
        self.recordings.get(&recording).is_some_and(|known| !known.files.is_empty())
    }

    /// The recordings of a node that stopped, and of which nothing was heard since.
    pub fn unheard_of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = RecordingId> + 'a {
        let unheard_of = move |known: &Recording| {
            let of_node = known.node.as_deref() == Some(node);
            of_node && !known.runs && !known.failed && known.files.is_empty()
        };
        let all = self.recordings.iter();
        all.filter(move |(_, known)| unheard_of(known)).map(|(id, _)| *id)
    }

    /// The end of the recording that runs, if one does. What nobody was connected for has failed: no
    /// node knows of it.
    pub(super) fn stop_recording(&self, cause: StopCause) -> Vec<CallEvent> {
        let (call, conversation) = (self.call, self.conversation);
        let Some(recording) = self.runs() else { return vec![] };
        let mut events = vec![CallEvent::RecordingStopped { call, conversation, recording, cause }];
        if self.recordings.get(&recording).is_some_and(|known| !known.heard && !known.failed) {
            let reason = "nobody was connected to the SFU node".to_owned();
            events.push(CallEvent::RecordingFailed { call, conversation, recording, reason });
        }
        events
    }
}
