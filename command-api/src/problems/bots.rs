//! The rules about API tokens and webhooks.

use domain::webhook::Rejection;
use service::Problem;

use super::{conflict, forbidden, invalid, missing};

/// A rule of webhooks.
pub(crate) fn of_webhook(rejection: Rejection) -> Problem {
    match rejection {
        Rejection::AlreadyCreated => conflict("webhook-exists", "This webhook exists already"),
        Rejection::NoSuchWebhook => missing("no-such-webhook", "This webhook does not exist"),
        Rejection::NotAllowed => forbidden(
            "webhook-not-allowed",
            "Webhooks are made by the owner or an admin of a group, or an admin of the platform",
        ),
        Rejection::NotOwner => forbidden("not-owner", "Only its owner may do this to a webhook"),
        Rejection::InvalidType => {
            invalid("invalid-type", "Types are names such as message.sent, or message.*")
        }
        Rejection::TooManyTypes => invalid("too-many-types", "A webhook names at most 50 types"),
        Rejection::Disabled => conflict("webhook-disabled", "The webhook is disabled"),
    }
}

/// 422: an address that nothing is sent to.
pub(crate) const fn invalid_webhook_url() -> Problem {
    invalid(
        "invalid-url",
        "A webhook goes to an https address on the public net, without a user or a password",
    )
}

/// 409: as many webhooks as a person may have.
pub(crate) const fn too_many_webhooks() -> Problem {
    conflict("too-many-webhooks", "A person has at most 20 webhooks")
}

/// 404: no API token with this id, or none of the person who asks.
pub(crate) const fn no_such_token() -> Problem {
    missing("no-such-token", "This API token does not exist")
}

/// 409: as many API tokens as a person may have.
pub(crate) const fn too_many_tokens() -> Problem {
    conflict("too-many-tokens", "A person has at most 50 API tokens")
}
