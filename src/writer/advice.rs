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
            // Nothing more is sent through a pipe that was stopped, so calling again would end in this for ever.
            ErrorKind::Stopped => error.not_retryable().advise(AFTER_STOP),
            _ => error,
        };
        match self.delivery.committed_offset() {
            Some(offset) => error.with_committed_offset(offset.to_string()),
            None => error,
        }
    }

    /// The same for a call that has taken the row all the same.
    pub(super) fn explain_kept(&self, error: Error) -> Error {
        let error = error.with_row_kept();
        match error.kind() {
            _ if self.delivery.check_ended().is_err() => error.and_advise(KEPT_AT_END),
            ErrorKind::Stopped => error.advise(KEPT_AT_END),
            ErrorKind::Timeout => error.advise(KEPT),
            _ => error.and_advise(KEPT),
        }
    }

    /// The same for a call that has not taken the row.
    pub(super) fn explain_not_taken(&self, error: Error) -> Error {
        match error.kind() {
            _ if self.delivery.check_ended().is_err() => error.not_retryable().and_advise(NOT_TAKEN_AT_END),
            ErrorKind::Stopped => error.not_retryable().advise(NOT_TAKEN_AT_END),
            ErrorKind::Timeout => error.retryable().advise(NOT_TAKEN),
            _ => error.retryable().and_advise(NOT_TAKEN),
        }
    }
}

const AFTER_STOP: &str =
    "what is not committed comes out with into_uncommitted, or is written again after the committed offset";
const KEPT: &str = "the row is kept: do not write it again, call flush or tick";
const KEPT_AT_END: &str = "the row is kept, and comes out with into_uncommitted";
const NOT_TAKEN: &str = "the memory of the writer is full and the row was not taken: write it again later";
const NOT_TAKEN_AT_END: &str = "the row was not taken";
