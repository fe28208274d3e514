//! Signalling: how clients join, over a WebSocket of our own or over WHIP and WHEP. It only carries
//! descriptions and wishes; the rooms decide.

mod socket;
pub(crate) mod used;
mod whip;

use std::collections::HashMap;
use std::sync::Mutex;

use http::StatusCode;
use service::Problem;
use service::tickets::Ticket;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::App;
use crate::media::worker::Busy;
use crate::room::Refused;
use crate::room::event::{Event, ParticipantId};

/// The routes, and their descriptions.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(socket::open))
        .routes(routes!(whip::publish))
        .routes(routes!(whip::change, whip::end))
        .routes(routes!(whip::view))
        .routes(routes!(whip::change_view, whip::end_view))
}

/// The schemas of the frames of the socket.
pub struct Signalling {
    /// What a client may send.
    pub client: RefOr<Schema>,
    /// What the server sends: answers, and events.
    pub server: [RefOr<Schema>; 2],
    /// The schemas that these refer to, by name.
    pub uses: Vec<(String, RefOr<Schema>)>,
}

/// The schemas of the frames of the socket.
pub(crate) fn frames() -> Signalling {
    let mut uses = Vec::new();
    socket::Frame::schemas(&mut uses);
    socket::Answer::schemas(&mut uses);
    Event::schemas(&mut uses);
    let server = [socket::Answer::schema(), Event::schema()];
    Signalling { client: socket::Frame::schema(), server, uses }
}

/// Verifies a ticket, which is good for one time.
pub(crate) fn admit(app: &App, ticket: &str) -> Result<Ticket, Problem> {
    let now = service::clock::now();
    let ticket = app.shared.tickets.verify(ticket, &app.shared.node, now)?;
    match app.shared.used.take(ticket.id, now) {
        true => Ok(ticket),
        false => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "ticket-used",
            "The ticket was used already",
        )),
    }
}

impl From<Busy> for Problem {
    fn from(_: Busy) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "sfu-busy", "The SFU has too much to do")
            .retry_after(std::time::Duration::from_secs(1))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (status, slug) = match refused {
            Refused::Unknown => (StatusCode::NOT_FOUND, "not-in-the-room"),
            Refused::Forbidden => (StatusCode::FORBIDDEN, "ticket-rights"),
            Refused::Description(_) => (StatusCode::UNPROCESSABLE_ENTITY, "sdp"),
            Refused::Certificate => (StatusCode::CONFLICT, "certificate-changed"),
            Refused::NoTrack => (StatusCode::NOT_FOUND, "no-such-track"),
            Refused::Full => (StatusCode::SERVICE_UNAVAILABLE, "room-full"),
            Refused::Serial => (StatusCode::CONFLICT, "offer-not-open"),
        };
        Self::new(status, slug, "The SFU refuses this").detail(refused.to_string())
    }
}

/// The sessions of WHIP and WHEP: whose URL knows the id may change and end it.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Uuid, (Uuid, ParticipantId)>>);

impl Sessions {
    fn begin(&self, call: Uuid, participant: ParticipantId) -> Uuid {
        #[expect(clippy::disallowed_methods, reason = "an id that nobody can guess, at the edge")]
        let session = Uuid::new_v4();
        if let Ok(mut sessions) = self.0.lock() {
            sessions.insert(session, (call, participant));
        }
        session
    }

    fn of(&self, call: Uuid, session: Uuid) -> Option<ParticipantId> {
        let sessions = self.0.lock().ok()?;
        sessions.get(&session).filter(|(of, _)| *of == call).map(|(_, participant)| *participant)
    }

    fn end(&self, session: Uuid) {
        if let Ok(mut sessions) = self.0.lock() {
            sessions.remove(&session);
        }
    }

    /// A call ended, and all sessions in it.
    pub(crate) fn forget(&self, call: Uuid) {
        if let Ok(mut sessions) = self.0.lock() {
            sessions.retain(|_, (of, _)| *of != call);
        }
    }
}
