//! Tokens: what they are, who makes them, and the cache that keeps them until near their end.

mod cache;
mod client_credentials;
mod discovery;
mod endpoint;
mod jwt;
mod private_key;
mod signer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::error::Error;
use crate::http::Origin;
use crate::secret::Secret;

pub(crate) use self::cache::TokenCache;
pub(crate) use self::client_credentials::Connect;
pub use self::client_credentials::{ClientAuthentication, ClientCredentials};
pub(crate) use self::jwt::JwtTimes;
pub use self::private_key::PrivateKey;

/// Whoever can make a token; stateless, so that the cache around it is the only holder.
pub(crate) trait TokenSource: Send + Sync + fmt::Debug {
    /// A new token, never one handed out before unless there is no other.
    fn fetch(&self) -> Result<Grant, Error>;

    /// A new token in place of one that the service refused.
    ///
    /// A source that cannot make another says so here, instead of handing out the refused one again.
    fn replace(&self, refused: &Grant) -> Result<Grant, Error> {
        let _ = refused;
        self.fetch()
    }
}

/// A token as its source hands it over.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) bearer: Secret,
    /// The only place it may be sent to.
    pub(crate) origin: Origin,
    /// How long it is good for, counted from `asked`.
    pub(crate) lifetime: Duration,
    /// The moment before it was asked for: its lifetime cannot have begun earlier.
    pub(crate) asked: Moment,
}

/// A token in the cache: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) grant: Arc<Grant>,
    /// Counts the tokens of one cache, so that a late refusal of an old one does not discard a new one.
    pub(crate) generation: u64,
}
