//! Blocking, runtime-free client for Snowflake's Snowpipe Streaming service (high-performance REST).
//!
//! Rows go from a file, an iterator or a program straight into a Snowflake table, exactly once, without an async runtime,
//! a sidecar or a background thread; only a [`WriterPool`] has threads, which end with it, and a pipe is read on one.
//!
//! ```no_run
//! use snowpipe_streaming::{Client, Credentials, Loader, PrivateKey, Source};
//!
//! let key = PrivateKey::from_file("rsa_key.p8")?;
//! let client = Client::builder("myorg-account123", Credentials::key_pair("LOADER", key)).build()?;
//! let pipe = client.table("DB", "PUBLIC", "FLIGHTS");
//!
//! let report = Loader::new(&pipe, "load-1").load(Source::file("flights.ndjson")?)?;
//! println!("{} rows are stored, {} of them by an earlier run", report.rows, report.skipped);
//! # Ok::<(), snowpipe_streaming::Error>(())
//! ```
//!
//! | you have | use | delivery |
//! |---|---|---|
//! | a file, a reader or an iterator of rows | [`Loader`] | exactly once, resumes after any crash |
//! | rows as they come, and a place to resume from | [`Writer`] | exactly once, if you resume after the committed offset |
//! | rows as they come, from many threads | [`WriterPool`] | exactly once while the program lives, at least once across a crash |
//! | batches of your own making | [`Channel`] | the same; you control every step |
//! | batches, from many threads | [`Elastic`] | at least once |
//!
//! Every call blocks, and says in its documentation for how long. Every failure is an [`Error`], whose [`ErrorKind`] says
//! how to react.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `zstd` | yes | request bodies are compressed, and zstd files unpacked; without it bodies are sent as they are |
//! | `gzip` | no | gzip files are unpacked |
//! | `emulator` | no | a service on loopback for tests without an account: see the `emulator` module |
//! | `hiiretail` | no | groups, roles and permissions of Hii Retail: see the module `hiiretail` |
//! | `platform-verifier` | no | trusts the roots of the operating system instead of the bundled ones |
//! | `aws-lc` | no | signs with aws-lc instead of the `rsa` crate |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::missing_errors_doc
)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod loader;
pub use loader::{BadRow, FileLoad, LoadReport, Loader, Source};
mod writer;
pub use writer::{CloseError, Writer, WriterReport};
mod writer_pool;
pub use writer_pool::{PoolCloseError, PoolHandle, PoolReport, WriterPool, WriterPoolBuilder};
mod channel;
mod delivery;
pub use channel::{Channel, ChannelBuilder, Recovery};
mod elastic;
pub use elastic::Elastic;
mod pipe;
pub use pipe::Pipe;
mod client;
pub use client::{CheckOutcome, CheckReport, CheckStep, Client, ClientBuilder, Profile};

mod rows;
pub use rows::{Batch, OffsetToken};
pub mod columns;

mod snowflake;
pub use snowflake::credentials::Credentials;
pub use snowflake::status::ChannelStatus;
pub use snowflake::target::Target;
mod session;
pub use session::Counters;
mod auth;
pub use auth::{ClientAuthentication, ClientCredentials, ClientSecret, PrivateKey};
#[cfg(feature = "hiiretail")]
pub mod hiiretail;
mod http;

mod clock;
pub use clock::ClockOffset;
mod error;
pub use error::{Error, ErrorKind};
mod stop;
pub use stop::StopHandle;
#[cfg(test)]
mod model;
mod secret;
pub use secret::Secret;

#[cfg(feature = "emulator")]
#[doc(inline)]
pub use snowpipe_emulator as emulator;
