//! What the errors of a writer say beyond what happened.

use super::Writer;
use crate::error::{Error, ErrorKind};

impl Writer {
    /// What a delivery cannot know: where the caller stands, and that it calls a writer.
    pub(super) fn explain(&self, error: Error) -> Error {
        let error = match error.kind() {
            ErrorKind::Timeout => {
                error.advise("call it again: what was written is kept, and what was sent is not lost")
            }
            _ => error,
        };
        match self.delivery.committed_offset() {
            Some(offset) => error.with_committed_offset(offset.to_string()),
            None => error,
        }
    }

    /// The same for a call that has taken the row all the same.
    pub(super) fn explain_kept(&self, error: Error) -> Error {
        let error = error.not_retryable();
        match error.kind() {
            _ if self.delivery.check_ended().is_err() => error,
            ErrorKind::Timeout => error.advise(KEPT),
            _ => error.and_advise(KEPT),
        }
    }
}

const KEPT: &str = "the row is kept: do not write it again, call flush or tick";
