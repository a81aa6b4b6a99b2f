//! The emulator, spoken to in requests that are written by hand.

mod authorization_server;
mod channels;
mod control;
mod credentials;
mod faults;
mod files;
mod hiiretail;
mod http;
mod rows;
mod speed;
mod state;
mod support;
