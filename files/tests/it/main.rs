//! The storage as its users see it: the same tests on a folder and on a server that speaks S3.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod s3;
mod suite;
