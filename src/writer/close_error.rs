use std::fmt;

use super::Writer;
use crate::error::{Error, ErrorKind};

/// Why a writer could not be closed, and the writer, which still has its rows.
///
/// In a function that returns [`Error`] the operator `?` takes the error alone; the writer is dropped then, with a line in the
/// log that says what it still had.
///
/// ```no_run
/// # fn example(writer: snowpipe_streaming::Writer) -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
/// use snowpipe_streaming::ErrorKind;
///
/// let mut closed = writer.close(Duration::from_secs(60));
/// while let Err(failure) = closed {
///     eprintln!("{failure}; committed so far: {:?}", failure.error().committed_offset());
///     if !failure.error().is_retryable() {
///         let left = failure.into_writer().into_uncommitted()?;
///         eprintln!("{} rows are to be put elsewhere", left.rows());
///         break;
///     }
///     closed = failure.into_writer().close(Duration::from_secs(60));
/// }
/// # Ok(())
/// # }
/// ```
pub struct CloseError {
    error: Error,
    writer: Box<Writer>,
}

impl CloseError {
    pub(super) fn new(error: Error, writer: Writer) -> CloseError {
        CloseError { error, writer: Box::new(writer) }
    }

    /// What [`Writer::commit`] said. Its [`committed_offset`](Error::committed_offset) is the newest that is known.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The writer with all rows that are not committed: commit them later, close it again, or take them out with
    /// [`into_uncommitted`](Writer::into_uncommitted).
    pub fn into_writer(self) -> Writer {
        *self.writer
    }

    /// Both.
    pub fn into_parts(self) -> (Error, Writer) {
        (self.error, *self.writer)
    }
}

impl From<CloseError> for Error {
    /// Drops the writer, so the error is no longer one after which the call can be repeated.
    fn from(failure: CloseError) -> Error {
        match failure.error.kind() {
            // Everything is committed.
            ErrorKind::NotStored => failure.error,
            _ => failure
                .error
                .not_retryable()
                .advise("the writer is gone: open the channel and write again what comes after its committed offset"),
        }
    }
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseError").field("error", &self.error).field("writer", &self.writer).finish()
    }
}

impl std::error::Error for CloseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
