//! Everything that is Snowflake's own.
//!
//! `credentials` makes login tokens, and `exchange` exchanges them for scoped tokens. `api` has one function for each endpoint
//! of the ingest host; `pipe_name` and `target` hold the names that go into them. `dialect` defines the headers and labels of
//! requests and the meaning of responses.

pub(crate) mod account;
pub(crate) mod api;
pub(crate) mod credentials;
pub(crate) mod dialect;
pub(crate) mod exchange;
mod pipe_name;
pub(crate) mod status;
pub(crate) mod target;
mod token_kind;
