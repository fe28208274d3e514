//! Access at the edge: credentials in headers, and reads that end when they may no longer go on.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{StreamExt, stream};
use tonic::metadata::MetadataMap;

use super::{
    fault::Fault,
    proto::{
        shared::StreamIdentifier,
        streams::{ReadResp, read_resp},
    },
    request::Source,
    streams::Answers,
};
use crate::{
    access::{Gate, Operation, Refusal, Visit, directory, gate::Presented},
    engine::Engine,
};

/// Links to this many streams are looked at before what was found out about them is forgotten.
const STREAMS: usize = 1024;

impl Gate {
    /// Refuses a call that may not do this one thing.
    ///
    /// # Errors
    ///
    /// UNAUTHENTICATED when the credentials are wrong, PERMISSION_DENIED when the caller may not.
    pub(crate) async fn authorize(
        self: &Arc<Self>,
        metadata: &MetadataMap,
        operation: Operation<'_>,
    ) -> Result<(), Fault> {
        self.admit(metadata).await?.check(operation).await
    }

    /// Lets a call in that lasts or does several things; it has to ask before each of them.
    ///
    /// # Errors
    ///
    /// UNAUTHENTICATED when the credentials are wrong. A call without any is let in as nobody.
    pub(crate) async fn admit(self: &Arc<Self>, metadata: &MetadataMap) -> Result<Visit, Fault> {
        let presented = if self.is_closed() { credentials(metadata)? } else { None };
        self.enter(presented).await
    }
}

/// The Basic credentials (RFC 7617) in the headers, if there are any.
fn credentials(metadata: &MetadataMap) -> Result<Option<Presented>, Refusal> {
    let mut headers = metadata.get_all("authorization").iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(Refusal::Unauthenticated);
    }
    let text = header.to_str().map_err(|_| Refusal::Unauthenticated)?;
    basic(text).map(Some).ok_or(Refusal::Unauthenticated)
}

fn basic(header: &str) -> Option<Presented> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (login, password) = decoded.split_once(':')?;
    Some(Presented { login: login.to_owned(), password: password.to_owned().into() })
}

/// What a reader may see, which is looked at again whenever something was written since.
pub(crate) struct Watch {
    visit: Visit,
    engine: Arc<Engine>,
    /// The whole log when `None`.
    stream: Option<Bytes>,
    /// The head when the permissions were looked at.
    head: u64,
    is_admin: bool,
    /// Which targets of links may be seen.
    readable: HashMap<Bytes, bool>,
    ended: bool,
}

impl Watch {
    /// Refuses a read that may not begin.
    pub(crate) async fn begin(
        visit: Visit,
        engine: &Arc<Engine>,
        source: &Source,
    ) -> Result<Self, Fault> {
        let stream = match source {
            Source::Stream { name, .. } => Some(name.clone()),
            Source::All { .. } => None,
        };
        let mut watch = Self {
            visit,
            engine: Arc::clone(engine),
            stream,
            head: 0,
            is_admin: false,
            readable: HashMap::new(),
            ended: false,
        };
        watch.look().await?;
        Ok(watch)
    }

    /// The answers, until they may no longer be given.
    pub(crate) fn over(self, answers: Answers<ReadResp>) -> Answers<ReadResp> {
        if self.visit.is_trusted() {
            return answers;
        }
        Box::pin(stream::unfold((self, answers), |(mut watch, mut answers)| async move {
            if watch.ended {
                return None;
            }
            let answer = match answers.next().await? {
                Ok(answer) => watch.pass(answer).await.map_err(Into::into),
                Err(status) => Err(status),
            };
            watch.ended = answer.is_err();
            Some((answer, (watch, answers)))
        }))
    }

    async fn look(&mut self) -> Result<(), Fault> {
        if self.visit.is_trusted() {
            return Ok(());
        }
        // The head first: what changes while the permissions are looked at is looked at again.
        self.head = self.engine.head();
        self.visit
            .check(self.stream.as_deref().map_or(Operation::ReadAll, Operation::Read))
            .await?;
        self.is_admin = self.visit.may(Operation::ManageUsers).await?;
        self.readable.clear();
        Ok(())
    }

    async fn pass(&mut self, mut answer: ReadResp) -> Result<ReadResp, Fault> {
        if self.engine.head() != self.head {
            self.look().await?;
        }
        if let Some(read_resp::Content::Event(event)) = &mut answer.content
            && !self.is_admin
        {
            self.veil(event).await?;
        }
        Ok(answer)
    }

    /// A link must not show what its target's list hides, nor the whole log the hashes of users.
    async fn veil(&mut self, event: &mut read_resp::ReadEvent) -> Result<(), Fault> {
        if event.link.is_some()
            && let Some(target) = &event.event
            && !self.may_see(name(&target.stream_identifier)).await?
        {
            event.event = None;
        }
        for record in [&mut event.event, &mut event.link].into_iter().flatten() {
            if directory::is_guarded(&name(&record.stream_identifier)) {
                record.data = Bytes::from_static(b"{}");
            }
        }
        Ok(())
    }

    async fn may_see(&mut self, target: Bytes) -> Result<bool, Fault> {
        // Whoever reads the whole log sees every event as it is.
        if self.stream.as_ref().is_none_or(|stream| *stream == target) {
            return Ok(true);
        }
        if let Some(known) = self.readable.get(&target) {
            return Ok(*known);
        }
        let may = self.visit.may(Operation::Read(&target)).await?;
        if self.readable.len() >= STREAMS {
            self.readable.clear();
        }
        self.readable.insert(target, may);
        Ok(may)
    }
}

fn name(identifier: &Option<StreamIdentifier>) -> Bytes {
    identifier.as_ref().map(|identifier| identifier.stream_name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[&str]) -> Result<Option<(String, String)>, Refusal> {
        let mut metadata = MetadataMap::new();
        for header in headers {
            metadata.append("authorization", header.parse().unwrap());
        }
        let presented = credentials(&metadata)?;
        Ok(presented.map(|given| (given.login, given.password.reveal().to_owned())))
    }

    fn encoded(text: &str) -> String {
        STANDARD.encode(text)
    }

    #[test]
    fn basic_credentials_are_split_at_the_first_colon() {
        let header = format!("Basic {}", encoded("ann:a:b ü"));
        let expected = Some(("ann".to_owned(), "a:b ü".to_owned()));
        assert_eq!(read(&[&header]), Ok(expected.clone()));
        assert_eq!(read(&[&header.replace("Basic", "bASIC ")]), Ok(expected));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn what_is_not_one_pair_of_credentials_is_refused() {
        let good = format!("Basic {}", encoded("ann:secret"));
        for headers in [
            vec!["Bearer abc"],
            vec!["Basic"],
            vec!["Basic "],
            vec!["Basic !!!"],
            vec![""],
            vec!["Basic YW5u"],
            vec!["Basic /////w=="],
            vec![good.as_str(), good.as_str()],
        ] {
            assert_eq!(read(&headers), Err(Refusal::Unauthenticated), "{headers:?}");
        }
    }
}
