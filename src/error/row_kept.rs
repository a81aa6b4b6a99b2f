//! What became of the row of a failed call.

use super::Error;

impl Error {
    /// For an error of [`Writer::write`](crate::Writer::write) and [`write_json`](crate::Writer::write_json): the writer has taken
    /// the row all the same, so it must not be written again. False if the row was not taken, and for the errors of all other
    /// calls.
    ///
    /// ```
    /// use snowpipe_streaming::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Unavailable, "the service is busy").with_row_kept();
    /// assert!(error.is_row_kept() && !error.is_retryable());
    /// ```
    pub fn is_row_kept(&self) -> bool {
        self.details.is_row_kept
    }

    /// What [`is_row_kept`](Error::is_row_kept) returns is true from now on; so the call is not to be repeated.
    pub fn with_row_kept(mut self) -> Error {
        self.details.is_row_kept = true;
        self.not_retryable()
    }
}
