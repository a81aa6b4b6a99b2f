//! What the service remembers: channels, rows on their way into tables, tables, uploaded files. With a state folder the
//! [journal] makes it outlive the process.

pub(crate) mod batch;
pub(crate) mod channel;
pub(crate) mod in_flight;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod ledger;
pub(crate) mod name;
pub(crate) mod stage;
pub(crate) mod table;
