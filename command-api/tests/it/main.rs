//! The service from outside: real servers, REST and sockets.

mod client;
mod gateway;
mod outages;
mod rest;
mod world;
