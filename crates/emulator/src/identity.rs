//! Who a request comes from.

pub(crate) mod access_tokens;
pub(crate) mod credentials;
pub(crate) mod jwt;
pub(crate) mod key_pair;
pub(crate) mod oauth_client;
pub(crate) mod scoped_tokens;
pub(crate) mod secrets;
pub(crate) mod signing_key;
