//! The projector against real servers.

mod migrations;
mod projections;
mod relay;
mod world;
