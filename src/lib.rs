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

mod clock;
mod commit;
mod error;
mod http;
mod rows;
mod secret;

pub use commit::OffsetToken;
pub use error::{Error, ErrorKind};
pub use rows::Batch;
pub use secret::Secret;

mod auth;

#[cfg(feature = "emulator")]
pub mod emulator;
