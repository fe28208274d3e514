//! Media: one thread for each core, each with its socket and its rooms, and nothing shared.

pub(crate) mod dtls;
pub(crate) mod ice;
pub(crate) mod inbox;
pub(crate) mod outbox;
pub(crate) mod srtp;
pub(crate) mod transport;
pub(crate) mod worker;
