//! Tokens of any service: where they come from, and the cache that keeps them until shortly before they expire.

mod cache;
mod client_credentials;
mod client_secret;
mod connections;
mod discovery;
mod endpoint;
mod fields;
mod jwt;
mod private_key;
mod server_words;
mod signer;
mod token_endpoint;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Deadline, Moment};
use crate::error::Error;
use crate::http::{Limits, Origin};
use crate::secret::{Redaction, Secret};

pub(crate) use self::cache::TokenCache;
pub use self::client_credentials::{ClientAuthentication, ClientCredentials};
pub use self::client_secret::ClientSecret;
pub(crate) use self::connections::Connect;
#[cfg(feature = "hiiretail")]
pub(crate) use self::discovery::DISCOVERY_FAILED;
pub(crate) use self::jwt::JwtTimes;
pub use self::private_key::PrivateKey;
pub(crate) use self::token_endpoint::TokenEndpoint;

/// Makes or fetches tokens. It keeps none, so that the cache is the only holder and a refresh always reaches the source.
pub(crate) trait TokenSource: Send + Sync + fmt::Debug {
    /// A new token, or the same one again if there is no other.
    ///
    /// `limits` are those of the call that needs the token: whatever is sent for it is a part of that call.
    fn fetch(&self, limits: Limits) -> Result<Grant, Error>;

    /// A token for one that the service refused; `None` if there is no other than the refused one.
    fn replace(&self, refused: &Grant, limits: Limits) -> Result<Option<Grant>, Error> {
        let _ = refused;
        self.fetch(limits).map(Some)
    }

    /// Whether each token costs a server a request, as a login does: then a service that refuses what was just fetched does not
    /// make it be asked again and again. What is made or read on this machine may be made again at once.
    fn asks_a_server(&self) -> bool {
        false
    }

    /// Whom its tokens claim to be at present, where that changes with what a file contains. Nothing secret.
    fn identity(&self) -> Option<String> {
        None
    }
}

/// A token as its source returns it.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) bearer: Secret,
    /// The only place it may be sent to.
    pub(crate) origin: Origin,
    /// How long it is valid, counted from `asked`.
    pub(crate) lifetime: Duration,
    /// Just before it was requested: its lifetime cannot have begun earlier.
    pub(crate) asked: Moment,
    /// How long after `asked` its source is to be asked again, although the token is valid for longer.
    pub(crate) reread_after: Option<Duration>,
}

impl Grant {
    /// Whether the service gets the same from both: the same token at the same place.
    fn is_same(&self, other: &Grant) -> bool {
        self.bearer == other.bearer && self.origin == other.origin
    }
}

/// A token in the cache; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) grant: Arc<Grant>,
    /// Removes it from what the service says.
    pub(crate) redaction: Redaction,
    /// Numbers the tokens of one cache, so that a late refusal of an old token does not discard a new one.
    pub(crate) generation: u64,
    /// It was fetched for a refused one, and not accepted yet: until then it is not renewed if it is refused, too.
    pub(crate) trial: Option<Deadline>,
}

impl Token {
    fn new(grant: Grant, generation: u64) -> Token {
        let redaction = Redaction::of([&grant.bearer]);
        Token { grant: Arc::new(grant), redaction, generation, trial: None }
    }
}
