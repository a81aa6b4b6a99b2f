//! An emulator of Snowflake's Snowpipe Streaming service (high-performance REST, v2), for tests without an account.
//!
//! It listens on loopback and behaves towards a client as the service does: it verifies credentials, checks
//! continuation tokens, keeps the rows that land, and commits them after a delay. A test can look at all of that, and
//! can make things go wrong.
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
//! Tests in other languages do the same over HTTP, through the control endpoints below `/_emulator/`. The specification
//! of the emulator, `specs/emulator.md` in its repository, lists them, and says of each rule whether it is documented
//! by Snowflake, observed, or inferred.
//!
//! # How the crate is built
//!
//! It shares no code with any client, so that a field misread by one side does not pass on both. Each module uses only
//! those above it in this table:
//!
//! | module | what it is |
//! |---|---|
//! | `clock`, `refusal` | the service's time; why a request is not carried out |
//! | `http` | an HTTP/1.1 server that knows nothing of Snowpipe |
//! | `identity`, `state`, `control` | credentials; channels, rows and tables; what a test changes and looks at |
//! | `service` | what all requests share: one of each of the above |
//! | `endpoints` | one function for each endpoint, and the route that finds it |
//! | `dispatcher` | each request from the server to its endpoint, by way of faults and the log |
//! | `emulator` | the public API |
//! | [`hiiretail`] | a second service, on a port of its own: OCMS and the IAM of Hii Retail |
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

mod emulator;
pub use emulator::Emulator;
pub use emulator::builder::Builder;

pub mod hiiretail;
pub use hiiretail::HiiRetail;

mod control;
mod dispatcher;
mod endpoints;
mod service;
pub use control::endpoint::Endpoint;
pub use control::fault::Fault;
pub use control::forms::{ErrorForm, WordForm};
pub use control::request_log::LoggedRequest;

mod http;
mod identity;
mod state;

mod clock;
mod refusal;
