//! What the service remembers.

pub(crate) mod batch;
pub(crate) mod channel;
pub(crate) mod in_flight;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod ledger;
pub(crate) mod name;
pub(crate) mod stage;
pub(crate) mod table;
