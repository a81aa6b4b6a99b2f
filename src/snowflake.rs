//! What is Snowflake's own: its accounts, its endpoints, its exchange of a login for a scoped token.

pub(crate) mod account;
pub(crate) mod api;
pub(crate) mod credentials;
pub(crate) mod dialect;
pub(crate) mod exchange;
pub(crate) mod status;
