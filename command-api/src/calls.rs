//! What is known of a call and of its conversation, for whoever does something in it; and the
//! tickets of the SFU.

use domain::call::{self, Begun, Call as Talk};
use domain::conversation::{self, Conversation};
use event_log::Context;
use events::call::{Carrier, Media, Participant, Toggles};
use events::conversation::ConversationKind;
use events::{CallId, ConversationId, Moment, StreamName, UserId};
use serde::Serialize;
use service::sfu_registry::RegistryError;
use service::tickets::{self, Rights, Ticket};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::blocks::is_blocked;
use crate::{App, problems};

/// The device that somebody has in calls: the log-in that they come with.
pub(crate) const fn device(identity: Identity) -> Participant {
    Participant { user: identity.user, device: identity.login }
}

/// What a conversation is to somebody now.
pub(crate) struct Place {
    /// What the rules have to know.
    pub(crate) here: call::Place,
    /// Its kind, once it was opened.
    pub(crate) kind: Option<ConversationKind>,
    /// Whether the person moderates it.
    pub(crate) moderator: bool,
    /// Who else is in it, if the person is.
    pub(crate) others: Vec<UserId>,
    /// The revision that says so.
    pub(crate) revision: Option<u64>,
}

/// What a conversation is to somebody: who is not in it, or is blocked, is seen as for messages.
pub(crate) async fn place(
    app: &App,
    conversation: ConversationId,
    user: UserId,
) -> Result<Place, Problem> {
    let known = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    let (state, kind) = (&known.state, known.state.kind());
    let member = state.has_member(user);
    let others: Vec<UserId> = match member {
        true => state.members().filter(|other| *other != user).collect(),
        false => vec![],
    };
    let blocked = is_blocked(app, state, user).await?;
    let moderator = state.may(user, conversation::Action::Moderate);
    let here = call::Place { member, blocked };
    Ok(Place { here, kind, moderator, others, revision: known.revision })
}

/// A call, as somebody may know it.
pub(crate) struct Known {
    /// The call.
    pub(crate) begun: Begun,
    /// Its conversation.
    pub(crate) place: Place,
    revision: Option<u64>,
}

/// A call as it is now. To who is neither in its conversation nor in it, it does not exist.
pub(crate) async fn known(app: &App, call: CallId, user: UserId) -> Result<Known, Problem> {
    let loaded = app.log().load::<Talk>(&StreamName::call(call)).await?;
    let none = || problems::of_call(call::Rejection::NoSuchCall);
    let begun = loaded.state.begun().ok_or_else(none)?.clone();
    let place = place(app, begun.conversation, user).await?;
    if !place.here.member && !begun.has_user(user) {
        return Err(none());
    }
    Ok(Known { begun, place, revision: loaded.revision })
}

/// Whether somebody has begun a call with this id.
pub(crate) async fn is_begun(app: &App, call: CallId) -> Result<bool, Problem> {
    let loaded = app.log().load::<Talk>(&StreamName::call(call)).await?;
    Ok(loaded.state.begun().is_some())
}

/// Whether a device is in a call now.
pub(crate) async fn is_in(app: &App, call: CallId, device: Participant) -> Result<bool, Problem> {
    let loaded = app.log().load::<Talk>(&StreamName::call(call)).await?;
    Ok(loaded.state.active().is_some() && loaded.state.has(device))
}

/// The node that carries a call, or is to; `None` if there is none.
pub(crate) async fn node_for(app: &App, call: CallId) -> Result<Option<String>, Problem> {
    match app.sfu_registry().place(call.uuid()).await {
        Ok(node) => Ok(Some(node.id)),
        Err(RegistryError::NoNode) => Ok(None),
        Err(error @ RegistryError::Away(_)) => Err(problems::registry_away(&error)),
    }
}

/// What a newcomer to a call has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct JoinedCall {
    /// Voice, or video too.
    media: Media,
    /// Whether devices are connected to each other, or by the SFU.
    carrier: Carrier,
    /// The SFU node, if one carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// To whom this device sends an offer; they wait for it. Empty on the SFU.
    offers_to: Vec<Participant>,
    /// Every device that is in the call, this one too, in the order in which they came.
    participants: Vec<CallDevice>,
    /// Whether it was asked for consent to record the call.
    consent_asked: bool,
    /// Whether the call is recorded now.
    recorded: bool,
}

/// A device in a call, and what of it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct CallDevice {
    #[serde(flatten)]
    participant: Participant,
    toggles: Toggles,
}

impl JoinedCall {
    /// As the device sees it that came in, now.
    pub(crate) async fn seen_by(app: &App, call: CallId, by: Participant) -> Result<Self, Problem> {
        let loaded = app.log().load::<Talk>(&StreamName::call(call)).await?;
        let none = || problems::of_call(call::Rejection::NoSuchCall);
        let begun = loaded.state.begun().ok_or_else(none)?;
        let before = begun.devices().iter().map(|inside| inside.participant);
        let offers_to = match begun.carrier {
            Carrier::Peers if begun.has(by) => before.take_while(|one| *one != by).collect(),
            Carrier::Peers | Carrier::Sfu => vec![],
        };
        let devices = begun.devices().iter();
        let devices = devices
            .map(|inside| CallDevice { participant: inside.participant, toggles: inside.toggles });
        Ok(Self {
            media: begun.media,
            carrier: begun.carrier,
            node: begun.node.clone(),
            offers_to,
            participants: devices.collect(),
            consent_asked: begun.is_asked(),
            recorded: begun.runs().is_some(),
        })
    }
}

/// A ticket, and where it is good.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SfuTicket {
    /// To be shown to the node.
    ticket: String,
    /// Where the node is.
    url: String,
    /// What the node is called.
    node: String,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires: Moment,
}

/// A ticket for a device that is in a call on the SFU. If the node that carried the call is gone,
/// the call moves to another one first: whoever asks first moves it for all.
pub(crate) async fn ticket(
    app: &App,
    identity: Identity,
    call: CallId,
) -> Result<SfuTicket, Problem> {
    let by = device(identity);
    let known = known(app, call, by.user).await?;
    call::may_talk(known.place.here).map_err(problems::of_call)?;
    if known.begun.is_over() {
        return Err(problems::of_call(call::Rejection::Over));
    }
    if !known.begun.has(by) {
        return Err(problems::of_call(call::Rejection::NotInCall));
    }
    let Some(carried_by) = &known.begun.node else {
        return Err(problems::of_call(call::Rejection::NotOnSfu));
    };
    let node = match app.sfu_registry().place(call.uuid()).await {
        Ok(node) => node,
        Err(RegistryError::NoNode) => return Err(problems::of_call(call::Rejection::NoNode)),
        Err(error @ RegistryError::Away(_)) => return Err(problems::registry_away(&error)),
    };
    if *carried_by != node.id {
        replace(app, identity, call, &known, &node.id).await?;
    }
    let now = service::clock::now();
    let caller = known.begun.by == by.user;
    // In a call of voices only who shares a screen sends a picture.
    let shares = known.begun.inside(by).is_some_and(|inside| inside.toggles.screen);
    let blind = known.begun.media == Media::Audio && !shares;
    let record = known.begun.direct || caller || known.place.moderator;
    #[expect(clippy::disallowed_methods, reason = "a ticket is made at the edge")]
    let id = Uuid::now_v7();
    let ticket = Ticket {
        user: by.user,
        call: call.uuid(),
        device: by.device.uuid(),
        node: node.id.clone(),
        rights: Rights { record, height: blind.then_some(0), ..Rights::PARTICIPANT },
        id,
    };
    let ticket = app.tickets().issue(ticket, now);
    Ok(SfuTicket { ticket, url: node.url, node: node.id, expires: now + tickets::LIFETIME })
}

/// Notes that another node carries the call. The key follows from what was seen, so that all who
/// see it append it once.
async fn replace(
    app: &App,
    identity: Identity,
    call: CallId,
    known: &Known,
    node: &str,
) -> Result<(), Problem> {
    let lost = known.begun.node.clone().unwrap_or_default();
    let seen = format!("{:?} {lost} {node}", known.revision);
    let key = Uuid::new_v5(&call.uuid(), seen.as_bytes());
    let context = Context {
        actor: identity.user,
        key,
        body_hash: String::new(),
        correlation: key,
        causation: key,
        now: service::clock::now(),
        decided_on: None,
        token: None,
    };
    let context = context.because(app.log().beginning_of(&StreamName::call(call)).await?);
    let command = call::Command::ReplaceNode { lost, node: node.to_owned() };
    app.log()
        .transact::<Talk>(&StreamName::call(call), &command, &context)
        .await
        .map_err(|error| problems::of_transaction(error, problems::of_call))?;
    Ok(())
}
