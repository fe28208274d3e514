//! The rules about people: accounts, names, log-ins, friendships, notifications and reports.

use domain::{friendship, hold, login, notification, parked, report, reservation, user};
use service::Problem;

use super::{
    conflict, forbidden, invalid, missing, moderators_only, oneself, unauthorized, vault_away,
    wrong_refresh_token,
};

/// A rule of friendships.
pub(crate) fn of_friendship(rejection: friendship::Rejection) -> Problem {
    use friendship::Rejection;
    match rejection {
        Rejection::Oneself => oneself(),
        Rejection::NoRequest => missing("no-request", "There is no friend request of this person"),
        Rejection::AlreadyFriends => conflict("already-friends", "The two are friends already"),
        Rejection::Blocking => conflict("blocking", "This person is blocked by the one who asks"),
        Rejection::NoSuchUser => Problem::no_such_user(),
    }
}

/// A rule of accounts.
pub(crate) fn of_user(rejection: user::Rejection) -> Problem {
    use user::Rejection;
    match rejection {
        Rejection::AlreadySignedUp => conflict("account-exists", "This account exists already"),
        Rejection::NoSuchUser => Problem::no_such_user(),
        Rejection::InvalidName => {
            invalid("invalid-name", "A name has 1 to 100 characters that are not all blank")
        }
        Rejection::BioTooLong => {
            invalid("bio-too-long", "A text about oneself has at most 1000 characters")
        }
        Rejection::InvalidLanguage => {
            invalid("invalid-language", "A language is a tag of BCP 47, as `en` or `pt-BR`")
        }
        Rejection::LocationTooLong => {
            invalid("location-too-long", "A location has at most 100 characters")
        }
        Rejection::InvalidAvatar => invalid(
            "invalid-avatar",
            "A picture is one of the presets 1 to 8, or an uploaded one of the person",
        ),
        Rejection::Incomplete => invalid(
            "profile-incomplete",
            "Others need a name, a text about oneself, and both languages",
        ),
        Rejection::OtherHash => {
            conflict("other-password", "The password's hash is another one by now")
        }
        Rejection::NotAdmin => {
            forbidden("admins-only", "Only an admin of the platform may do this")
        }
        Rejection::LegalHold => conflict("legal-hold", "A legal hold keeps what this person wrote"),
        Rejection::NotErased => conflict("not-erased", "This person was not erased"),
        Rejection::NotModerator => moderators_only(),
        Rejection::LastAdmin => conflict("last-admin", "The platform keeps at least one admin"),
        Rejection::NotBelow => {
            forbidden("not-below", "This may be done only to people of a lower role")
        }
        Rejection::InvalidEnd => {
            invalid("invalid-end", "A suspension ends in the future, or never")
        }
        Rejection::InvalidReason => {
            invalid("invalid-reason", "A reason has 1 to 1000 characters that are not all blank")
        }
        Rejection::InvalidSubscription => {
            invalid("invalid-subscription", "This is no subscription to web push")
        }
        Rejection::TooManySubscriptions => {
            conflict("too-many-subscriptions", "A person has at most 10 subscriptions to web push")
        }
    }
}

/// A rule of parked events.
pub(crate) fn of_parked(rejection: parked::Rejection) -> Problem {
    use parked::Rejection;
    match rejection {
        Rejection::NotAdmin => {
            forbidden("admins-only", "Only an admin of the platform may do this")
        }
        Rejection::InvalidProjection => {
            invalid("invalid-projection", "A projection is named by small letters and underscores")
        }
        Rejection::InvalidReason => {
            invalid("invalid-reason", "A reason has 1 to 500 characters that are not all blank")
        }
        Rejection::Skipped => conflict("event-skipped", "The event was skipped"),
    }
}

/// A rule of legal holds.
pub(crate) fn of_hold(rejection: hold::Rejection) -> Problem {
    use hold::Rejection;
    match rejection {
        Rejection::NotAdmin => {
            forbidden("admins-only", "Only an admin of the platform may do this")
        }
        Rejection::InvalidMatter => invalid(
            "invalid-matter",
            "A matter is named by 1 to 100 characters that are not all blank",
        ),
    }
}

/// A rule of unique names; the slug says which kind of name it is.
pub(crate) fn of_reservation(rejection: reservation::Rejection, taken: &'static str) -> Problem {
    use reservation::Rejection;
    match rejection {
        Rejection::Taken | Rejection::NotReserved => {
            conflict(taken, "Somebody else has this name already")
        }
    }
}

/// A rule of log-ins.
pub(crate) fn of_login(rejection: login::Rejection) -> Problem {
    use login::Rejection;
    match rejection {
        Rejection::AlreadyOpened => conflict("login-exists", "This log-in exists already"),
        Rejection::NoSuchLogin => wrong_refresh_token(),
        Rejection::Closed => unauthorized("login-ended", "This log-in has ended"),
        Rejection::Expired => unauthorized("refresh-expired", "The refresh token has expired"),
        Rejection::InvalidName => {
            invalid("invalid-name", "A token has a name of 1 to 100 characters")
        }
        Rejection::NoScope => invalid("no-scope", "A token has at least one scope"),
        Rejection::InvalidExpiry => {
            invalid("invalid-expiry", "A token expires in the future, or never")
        }
        Rejection::Unreadable => vault_away(),
    }
}

/// A rule of notifications.
pub(crate) fn of_notification(rejection: notification::Rejection) -> Problem {
    use notification::Rejection;
    match rejection {
        Rejection::NoSuchNotification => {
            missing("no-such-notification", "This notification does not exist")
        }
        Rejection::AlreadyRaised => {
            conflict("notification-exists", "A notification with this id exists already")
        }
        Rejection::AttemptOutOfTurn => {
            conflict("attempt-out-of-turn", "The attempts on a way are counted up from 1")
        }
        Rejection::ChannelDone => {
            conflict("channel-done", "The notification is done with on this way")
        }
    }
}

/// A rule of reports.
pub(crate) fn of_report(rejection: report::Rejection) -> Problem {
    use report::Rejection;
    match rejection {
        Rejection::AlreadyFiled => {
            conflict("report-exists", "A report with this id exists already")
        }
        Rejection::NoSuchSubject => missing("no-such-subject", "What is reported does not exist"),
        Rejection::Oneself => oneself(),
        Rejection::NoText => {
            invalid("report-without-text", "A report for another reason says which")
        }
        Rejection::TextTooLong => {
            invalid("text-too-long", "A report, and a note on one, has at most 2000 characters")
        }
        Rejection::NotModerator => moderators_only(),
        Rejection::OwnCase => {
            forbidden("own-case", "A report about oneself is for another moderator")
        }
        Rejection::NoSuchReport => missing("no-such-report", "This report does not exist"),
        Rejection::AlreadyResolved => {
            conflict("report-resolved", "This report was resolved already")
        }
    }
}
