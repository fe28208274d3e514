//! Lines: no device is in two calls, and no conversation has two.
//!
//! Whoever goes into a call takes the line first, then goes in, and then looks whether the line is
//! still theirs: of two that go into different calls at once one is sent back, or both.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::call::Call as Talk;
use domain::line::{Command, Held, Line, Rejection};
use event_log::{Loaded, TransactError};
use events::call::Participant;
use events::line::Slot;
use events::{CallId, ConversationId, StreamName, UserId};
use futures::future::try_join_all;
use service::Problem;

use crate::commands::Call;
use crate::{App, problems};

/// How long a line is kept for somebody who is on the way into a call: longer than any command may
/// take.
const ON_THE_WAY: TimeDelta = TimeDelta::seconds(20);

/// A line that was taken.
pub(crate) struct Taken {
    slot: Slot,
    call: CallId,
    stream: StreamName,
    device: Option<Participant>,
    /// The calls that were over, as far as one could see.
    over: BTreeSet<(Slot, CallId)>,
}

/// Takes the line of a device for a call.
pub(crate) async fn of_device(
    app: &App,
    request: &Call,
    device: Participant,
    call: CallId,
) -> Result<Taken, Problem> {
    let (stream, slot) = (StreamName::lines_of(device.user), Slot::Device(device.device));
    let taken = Taken { slot, call, stream, device: Some(device), over: BTreeSet::new() };
    taken.take(app, request).await?.map_err(|held| match held {
        Some(_) => problems::in_another_call(),
        None => problems::too_many_lines(),
    })
}

/// Takes the line of a conversation for a call.
pub(crate) async fn of_conversation(
    app: &App,
    request: &Call,
    conversation: ConversationId,
    call: CallId,
) -> Result<Taken, Problem> {
    let (stream, slot) = (StreamName::line_in(conversation), Slot::Conversation(conversation));
    let taken = Taken { slot, call, stream, device: None, over: BTreeSet::new() };
    taken.take(app, request).await?.map_err(|held| match held {
        Some(held) => problems::call_in_progress(held.call),
        None => problems::too_many_lines(),
    })
}

/// Which of these people are in a call now, with whichever device.
pub(crate) async fn engaged(
    app: &App,
    people: &[UserId],
    but: CallId,
) -> Result<BTreeSet<UserId>, Problem> {
    let looked = try_join_all(people.iter().map(async |user| {
        let lines = app.log().state::<Line>(&StreamName::lines_of(*user)).await?;
        for (slot, held) in lines.state.all().filter(|(_, held)| held.call != but) {
            let device = device_of(*user, slot);
            let call = app.log().load::<Talk>(&StreamName::call(held.call)).await?;
            if device.is_some_and(|device| call.state.active().is_some() && call.state.has(device))
            {
                return Ok::<_, Problem>(Some(*user));
            }
        }
        Ok(None)
    }));
    Ok(looked.await?.into_iter().flatten().collect())
}

const fn device_of(user: UserId, slot: Slot) -> Option<Participant> {
    match slot {
        Slot::Device(device) => Some(Participant { user, device }),
        Slot::Conversation(_) => None,
    }
}

impl Taken {
    /// The inner error says what the line belongs to.
    async fn take(
        mut self,
        app: &App,
        request: &Call,
    ) -> Result<Result<Self, Option<Held>>, Problem> {
        let known = app.log().load::<Line>(&self.stream).await?;
        self.over = self.over(app, &known, request).await?;
        let command = Command::Take {
            slot: self.slot,
            call: self.call,
            now: request.now,
            until: request.now + ON_THE_WAY,
            over: self.over.clone(),
        };
        match app.log().transact::<Line>(&self.stream, &command, &request.context()).await {
            Ok(_) => Ok(Ok(self)),
            Err(TransactError::Rejected(Rejection::Engaged)) => {
                let now = app.log().load::<Line>(&self.stream).await?;
                Ok(Err(now.state.held(self.slot)))
            }
            Err(TransactError::Rejected(Rejection::TooManyLines)) => Ok(Err(None)),
            Err(error) => Err(problems::of_transaction(error, |_| Problem::internal())),
        }
    }

    /// The lines whose calls are over, or were never begun.
    async fn over(
        &self,
        app: &App,
        lines: &Loaded<Line>,
        request: &Call,
    ) -> Result<BTreeSet<(Slot, CallId)>, Problem> {
        let user = self.device.map(|device| device.user);
        let others = lines.state.all().filter(|(_, held)| held.call != self.call);
        let looked = try_join_all(others.map(async |(slot, held)| {
            let call = app.log().load::<Talk>(&StreamName::call(held.call)).await?;
            let device = user.and_then(|user| device_of(user, slot));
            let over = held.is_over(&call.state, device, request.now);
            Ok::<_, Problem>(over.then_some((slot, held.call)))
        }));
        Ok(looked.await?.into_iter().flatten().collect())
    }

    /// Whether the line is still this call's, and the call that had it before has not come back.
    pub(crate) async fn holds(&self, app: &App) -> Result<bool, Problem> {
        let now = app.log().load::<Line>(&self.stream).await?;
        if now.state.held(self.slot).is_none_or(|held| held.call != self.call) {
            return Ok(false);
        }
        for (_, other) in self.over.iter().filter(|(slot, _)| *slot == self.slot) {
            let other = app.log().load::<Talk>(&StreamName::call(*other)).await?;
            if let Some(device) = self.device
                && other.state.has(device)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the line back: its holder did not get into the call.
    pub(crate) async fn give_back(self, app: &App, request: &Call) {
        free(app, request, &self.stream, self.slot, self.call).await;
    }
}

/// Gives the line of a device back that has left a call. Should that fail, whoever wants the line
/// sees that the device is not in the call.
pub(crate) async fn free_device(app: &App, request: &Call, device: Participant, call: CallId) {
    let stream = StreamName::lines_of(device.user);
    free(app, request, &stream, Slot::Device(device.device), call).await;
}

async fn free(app: &App, request: &Call, stream: &StreamName, slot: Slot, call: CallId) {
    let command = Command::Free { slot, call };
    let context = request.context().step("free");
    if let Err(error) = app.log().transact::<Line>(stream, &command, &context).await {
        tracing::debug!(%error, "a line was not given back");
    }
}
