//! Everything that is Snowflake's own.
//!
//! `credentials` makes login tokens; `exchange` trades them for tokens of the ingest host, where `api` has a function for
//! each endpoint. `dialect` tells the session how requests are authorized and labelled and what error codes mean.

pub(crate) mod account;
pub(crate) mod api;
pub(crate) mod credentials;
pub(crate) mod dialect;
pub(crate) mod exchange;
pub(crate) mod status;
mod token_kind;
