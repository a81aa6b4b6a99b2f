//! Who a request comes from: the credentials of the account host, and the scoped tokens of the ingest host.

pub(crate) mod access_tokens;
pub(crate) mod credentials;
pub(crate) mod invalid_token;
pub(crate) mod jwt;
pub(crate) mod key_pair;
pub(crate) mod oauth_client;
pub(crate) mod rs256;
pub(crate) mod scoped_tokens;
pub(crate) mod secrets;
pub(crate) mod signing_key;
