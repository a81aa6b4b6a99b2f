//! A Snowpipe Streaming service on loopback.
//!
//! It behaves as the service does towards a client, keeps the rows that landed, verifies credentials for
//! real, and lets things go wrong on request. It needs no account and no network.
//!
//! ```
//! use snowpipe_emulator::{Emulator, Endpoint, Fault};
//!
//! let emulator = Emulator::start()?;
//! emulator.inject(Fault::status(Endpoint::Append, 503).times(2));
//! // … let a client load rows through `emulator.url()` with `emulator.private_key_pem()` …
//! assert_eq!(emulator.rows("DEMO.PUBLIC.FLIGHTS"), b"");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The same can be had over HTTP, from any language: see the endpoints below `/_emulator/` in
//! `specs/emulator.md`.
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::missing_errors_doc
)]

mod clock;
mod control;
mod dispatcher;
mod emulator;
mod endpoints;
mod http;
mod identity;
mod refusal;
mod service;
mod state;

pub use control::endpoint::Endpoint;
pub use control::fault::Fault;
pub use control::forms::{ErrorForm, WordForm};
pub use control::request_log::LoggedRequest;
pub use emulator::Emulator;
pub use emulator::builder::Builder;
