//! Blocking, runtime-free client for Snowflake's Snowpipe Streaming service.
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::missing_errors_doc
)]

mod account;
mod clock;
mod error;
mod http;
mod secret;

pub use error::{Error, ErrorKind};
pub use secret::Secret;

mod auth;
mod environment;
mod profile;

pub use auth::{Credentials, PrivateKey};
pub use profile::Profile;

#[cfg(feature = "emulator")]
pub mod emulator;
