//! The IAM: what it knows of each tenant, and one function for each of its operations.

use super::call::Call;
use super::operation::Operation;
use super::platform::Platform;
use super::rejection::{Outcome, Rejection};

/// What the IAM knows.
#[derive(Debug, Default)]
pub(super) struct Iam {
    pub(super) settle_after_reads: u32,
}

pub(super) fn carry_out(_platform: &Platform, _operation: Operation, call: &Call<'_>) -> Outcome {
    Err(Rejection::missing("operation", call.id()))
}
