//! Nothing passes in a direct conversation of two of whom one blocks the other.

use domain::conversation::Conversation;
use domain::friendship::Friendship;
use events::conversation::ConversationKind;
use events::{StreamName, UserId};
use service::Problem;

use crate::App;

/// Whether this is such a conversation of somebody who is in it.
pub(crate) async fn is_blocked(
    app: &App,
    conversation: &Conversation,
    user: UserId,
) -> Result<bool, Problem> {
    if conversation.kind() != Some(ConversationKind::Direct) || !conversation.has_member(user) {
        return Ok(false);
    }
    let Some(other) = conversation.members().find(|member| *member != user) else {
        return Ok(false);
    };
    let between = app.log().state::<Friendship>(&StreamName::friendship(user, other)).await?;
    Ok(between.state.is_blocked())
}
