use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::access::Access;
use super::iam::Iam;
use super::ocms::Ocms;
use super::operation::Operation;
use crate::clock::Clock;
use crate::control::fault::Faults;
use crate::control::request_log::RequestLog;

/// What all requests share, and the Rust API with them.
#[derive(Debug)]
pub(super) struct Platform {
    pub(super) clock: Clock,
    pub(super) ocms: Ocms,
    pub(super) access: Mutex<Access>,
    pub(super) iam: Mutex<Iam>,
    pub(super) faults: Faults<Operation>,
    pub(super) log: RequestLog,
}

impl Platform {
    pub(super) fn new(ocms: Ocms) -> Self {
        Self {
            clock: Clock::default(),
            ocms,
            access: Mutex::default(),
            iam: Mutex::default(),
            faults: Faults::default(),
            log: RequestLog::default(),
        }
    }

    /// Takes these permissions away from every token, and gives all others back.
    pub(super) fn deny(&self, permissions: impl IntoIterator<Item = String>) {
        self.access.lock().denied = permissions.into_iter().collect::<BTreeSet<_>>();
    }
}
