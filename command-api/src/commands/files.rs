//! Files: uploading one, and removing it.

use axum::body::Body;
use domain::conversation::{self, Conversation};
use domain::file::{self, File};
use events::file::Pixels;
use events::{ConversationId, FileId, StreamName, UserId};
use files::{KeepError, Kept, Received};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Made};
use crate::{App, problems, read_models};

/// What the gateway offers of this file: bytes come over REST only.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<RemoveFile>()];

/// The read model that knows how much everybody has, how long an upload waits for it, and how often
/// it is asked meanwhile.
const PROJECTION: &str = "file";
/// And the one that knows what of it are recordings.
const RECORDINGS: &str = "recording";

/// What somebody wants to upload, as far as it is known before its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// The new id; one is made if it is absent.
    pub(crate) file: Option<FileId>,
    /// The conversation it is for; none for an avatar.
    pub(crate) conversation: Option<ConversationId>,
    /// What it is called, cleaned.
    pub(crate) name: String,
    /// How many bytes are announced.
    pub(crate) announced: Option<u64>,
}

/// What tells a repeat of an upload from another one with the same key.
#[derive(Serialize)]
struct Same<'a> {
    file: Option<FileId>,
    conversation: Option<ConversationId>,
    name: &'a str,
    digest: &'a str,
}

impl Upload {
    fn call(&self, app: &App, by: Identity, key: Uuid, digest: &str) -> Call {
        let Self { file, conversation, name, .. } = self;
        let same = Same { file: *file, conversation: *conversation, name, digest };
        Call::new(app, by, key, "file.upload", &same)
    }

    fn command(&self, file: FileId, owner: UserId, kept: Kept) -> file::Command {
        file::Command::Upload(file::Upload {
            file,
            owner,
            conversation: self.conversation,
            // It was asked before the bytes came, and is asked again now that they are here.
            member: true,
            name: self.name.clone(),
            media_type: kept.media_type.to_owned(),
            bytes: kept.bytes,
            digest: kept.digest,
            pixels: kept.pixels,
        })
    }
}

/// Uploads a file: receives and treats it, puts it where it belongs, and records it.
///
/// The bytes are there before the event, and bytes without an event are swept after a day. The id
/// follows from the key, so a repeat finds the file: it is read to its end, for the same key with
/// other bytes is refused, and stored nowhere.
pub(crate) async fn upload(
    app: &App,
    identity: Identity,
    key: Uuid,
    upload: Upload,
    body: Body,
) -> Result<Accepted, Problem> {
    let by = identity.user;
    let made = || Uuid::new_v5(&by.uuid(), format!("file {key}").as_bytes()).into();
    let file: FileId = upload.file.unwrap_or_else(made);
    let uploads = app.uploads();
    if upload.announced.is_some_and(|announced| announced > uploads.bounds.largest) {
        return Err(problems::file_too_large(uploads.bounds.largest));
    }
    let _place = uploads.enter(by)?;
    let known = app.log().load::<File>(&StreamName::file(file)).await?;
    if *known.state != File::None {
        return repeat(app, identity, key, file, &upload, body).await;
    }
    must_be_member(app, by, upload.conversation).await?;
    must_have_room(app, by, upload.announced.unwrap_or(1)).await?;
    let received =
        files::receive(uploads.studio.storage(), body.into_data_stream(), uploads.bounds)
            .await
            .map_err(|error| problems::of_intake(error, uploads.bounds.largest))?;
    must_have_room(app, by, received.bytes).await?;
    store(app, identity, key, file, &upload, received).await
}

/// Stores and records what was received.
async fn store(
    app: &App,
    identity: Identity,
    key: Uuid,
    file: FileId,
    upload: &Upload,
    received: Received,
) -> Result<Accepted, Problem> {
    if received.bytes == 0 {
        return Err(problems::of_file(file::Rejection::Empty));
    }
    let by = identity.user;
    let call = upload.call(app, identity, key, &received.digest);
    let came = received.bytes;
    let kept = app.uploads().studio.keep(received, file).await.map_err(|error| match error {
        KeepError::Picture(error) => problems::of_picture(error),
        KeepError::Grown { bytes } => problems::picture_grown(bytes, app.uploads().bounds.largest),
        KeepError::Storage(error) => problems::storage_away(&error),
    })?;
    let digest = kept.digest.clone();
    let recorded = match may_still(app, by, upload, kept.bytes, came).await {
        Ok(()) => record(app, &call, file, &upload.command(file, by, kept)).await,
        Err(problem) => Err(problem),
    };
    if recorded.as_ref().is_err_and(|problem| problem.status().is_client_error()) {
        take_back(app, file, &digest).await;
    }
    recorded
}

/// Asks again what may have changed while the bytes came; and a picture that was turned, and for
/// that encoded anew, has another length.
async fn may_still(
    app: &App,
    by: UserId,
    upload: &Upload,
    kept: u64,
    came: u64,
) -> Result<(), Problem> {
    app.auth().not_suspended(by).await?;
    must_be_member(app, by, upload.conversation).await?;
    if kept > came {
        must_have_room(app, by, kept).await?;
    }
    Ok(())
}

/// Answers an upload of a file that is there, or was.
async fn repeat(
    app: &App,
    identity: Identity,
    key: Uuid,
    file: FileId,
    upload: &Upload,
    body: Body,
) -> Result<Accepted, Problem> {
    let bounds = app.uploads().bounds;
    let digest = files::digest_only(body.into_data_stream(), bounds)
        .await
        .map_err(|error| problems::of_intake(error, bounds.largest))?;
    let call = upload.call(app, identity, key, &digest);
    // The stream knows the key, and what came of it. If it has forgotten, the same bytes are no
    // change, and others are another file.
    let pixels = Some(Pixels { width: 1, height: 1 });
    let kept = Kept { digest, bytes: 1, media_type: "", pixels };
    record(app, &call, file, &upload.command(file, identity.user, kept)).await
}

async fn record(
    app: &App,
    call: &Call,
    file: FileId,
    command: &file::Command,
) -> Result<Accepted, Problem> {
    app.log()
        .transact::<File>(&StreamName::file(file), command, &call.context())
        .await
        .map(|outcome| Accepted::at(outcome.position).made(Made::File(file)))
        .map_err(|error| problems::of_transaction(error, problems::of_file))
}

/// Removes what was stored for an upload that was refused, unless another one stored the same.
async fn take_back(app: &App, file: FileId, digest: &str) {
    let known = app.log().load::<File>(&StreamName::file(file)).await;
    let ours = known.is_ok_and(|known| known.state.stored().is_none_or(|it| it.digest != digest));
    if ours && let Err(error) = app.uploads().studio.storage().remove_version(file, digest).await {
        tracing::warn!(%error, "what a refused upload stored is left to the sweep");
    }
}

async fn must_be_member(
    app: &App,
    user: UserId,
    conversation: Option<ConversationId>,
) -> Result<(), Problem> {
    let Some(conversation) = conversation else { return Ok(()) };
    let known = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    match known.state.has_member(user) {
        true => Ok(()),
        false => Err(Problem::no_such_conversation()),
    }
}

/// Refuses more than somebody may have. All that is in the log by now is counted: while the read
/// model is behind, nobody learns that there is room. Uploads that go on at once do not see each
/// other, so a person may pass the quota by the few that one may have.
async fn must_have_room(app: &App, user: UserId, more: u64) -> Result<(), Problem> {
    let head = app.log().head().await?;
    let counted = async {
        read_models::reach(app, &[PROJECTION, RECORDINGS], head).await?;
        count(app, user).await
    };
    let used = counted.await.map_err(|_| problems::files_not_counted())?;
    let quota = app.uploads().quota;
    match used.saturating_add(more) > quota {
        true => Err(problems::files_full(quota)),
        false => Ok(()),
    }
}

/// How many bytes somebody has. What is recorded of somebody is theirs, and not on their account.
async fn count(app: &App, user: UserId) -> Result<u64, Problem> {
    let bytes: i64 = sqlx::query_scalar(
        "select coalesce(sum(bytes), 0)::bigint from file where owner_id = $1
             and not exists (select from recording_file r where r.file_id = file.file_id)",
    )
    .bind(user.uuid())
    .fetch_one(app.postgres())
    .await
    .map_err(|error| problems::of_postgres(&error))?;
    Ok(u64::try_from(bytes).unwrap_or_default())
}

/// `file.remove`: removes a file, and its bytes soon after.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveFile {
    /// The file.
    pub(crate) file: FileId,
}

impl Command for RemoveFile {
    const NAME: &'static str = "file.remove";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let by = identity.user;
        let call = Call::of(app, identity, key, &self);
        let stream = StreamName::file(self.file);
        let known = app.log().load::<File>(&stream).await?;
        let (owner, conversation) = match &*known.state {
            File::None => return Err(problems::of_file(file::Rejection::NoSuchFile)),
            File::Stored(stored) => (stored.owner, stored.conversation),
            File::Removed { owner, conversation, .. } => (*owner, *conversation),
        };
        let (mut member, mut moderator, mut revision) = (false, false, None);
        if let Some(conversation) = conversation {
            let name = StreamName::conversation(conversation);
            let known = app.log().state::<Conversation>(&name).await?;
            member = known.state.has_member(by);
            moderator = known.state.may(by, conversation::Action::Moderate);
            revision = known.revision;
        }
        if owner != by && !member {
            // Who cannot see the conversation does not learn that the file is there.
            return Err(problems::of_file(file::Rejection::NoSuchFile));
        }
        let command = file::Command::Remove { by, moderator };
        let context = call.context().deciding_on(revision);
        app.log()
            .transact::<File>(&stream, &command, &context)
            .await
            .map(|outcome| Accepted::at(outcome.position))
            .map_err(|error| problems::of_transaction(error, problems::of_file))
    }
}
