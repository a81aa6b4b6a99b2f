//! OCMS: the authorization server, and the management of its clients.

pub(super) mod clients;
pub(super) mod discovery;
pub(super) mod grant;
pub(super) mod registration;
pub(super) mod tokens;

use std::collections::VecDeque;

use parking_lot::Mutex;

use clients::Clients;
use discovery::DiscoveryForm;
use tokens::Tokens;

/// What OCMS knows.
#[derive(Debug)]
pub(super) struct Ocms {
    pub(super) url: String,
    pub(super) clients: Clients,
    pub(super) tokens: Tokens,
    pub(super) discovery: Mutex<DiscoveryForm>,
    /// The seconds to wait, one for each of the next token requests that are over the limit.
    pub(super) rate_limit: Mutex<VecDeque<u64>>,
}
