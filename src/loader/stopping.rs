//! How a load is stopped, and what an error says about running it again.

use super::{ExpectedOffset, Loader};
use crate::error::{Error, ErrorKind};
use crate::stop::{StopHandle, stopped};

impl<'p> Loader<'p> {
    /// Lets the handle stop this load, as [`Pipe::stopped_by`](crate::Pipe::stopped_by) does other calls; in place of a handle
    /// that the pipe has.
    ///
    /// A load that is stopped ends within a second, or after a request in progress, which the client's response timeout
    /// bounds. It sends no more rows and does not wait for commits. If rows are in flight it looks once, for half a second at
    /// most, at what is committed, so that the error and [`report`](Loader::report) tell it. The error is of kind
    /// [`Stopped`](ErrorKind::Stopped); running the load again resumes. If that look finds that everything is committed, the
    /// load has succeeded.
    ///
    /// A [`reader`](crate::Source::reader) or an iterator that blocks is waited for: the stop is noticed when it has given its
    /// next bytes or row, since a thread cannot be interrupted in a read. Standard input, pipes and other
    /// [`detached`](crate::Source::detached) readers are not waited for.
    ///
    /// ```no_run
    /// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
    /// use snowpipe_streaming::{ErrorKind, Loader, Source, StopHandle};
    ///
    /// let handle = StopHandle::new();
    /// // A clone of it goes to whoever may stop the load: a signal handler, another thread.
    /// let mut loader = Loader::new(pipe, "load-1").stop_handle(&handle);
    /// match loader.load(Source::file("flights.ndjson")?) {
    ///     Err(error) if error.kind() == ErrorKind::Stopped => println!("{} rows are committed", loader.report().rows),
    ///     result => println!("{} rows are committed", result?.rows),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop_handle(mut self, handle: &StopHandle) -> Loader<'p> {
        self.settings.pipe = self.settings.pipe.stopped_by(handle);
        self
    }

    /// A stop is that of the load, wherever it was noticed; the error says what is committed.
    pub(super) fn told(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Stopped {
            return error;
        }
        let told = stopped(format!("it was stopped; {}", self.so_far(&error)))
            .attempting(format!("load through channel {}", self.settings.channel));
        match self.committed_offset(&error) {
            Some(offset) => told.with_committed_offset(offset),
            None => told,
        }
        .with_source(error)
    }

    fn so_far(&self, error: &Error) -> String {
        let report = &self.report;
        let rows = if report.rows == 1 { "1 row is".to_owned() } else { format!("{} rows are", report.rows) };
        match self.committed_offset(error) {
            Some(offset) if report.rows > 0 => format!("{rows} committed, up to offset {offset}"),
            None if report.rows > 0 => format!("{rows} committed"),
            _ if report.rows_sent > 0 => "no row is known to be committed".to_owned(),
            Some(offset) => format!("nothing was sent, and the channel has committed up to offset {offset}"),
            None => "nothing was sent".to_owned(),
        }
    }

    /// Several channels have no common one.
    fn committed_offset(&self, error: &Error) -> Option<String> {
        let reported = self.report.committed_offset.as_ref().map(ToString::to_string);
        let known = reported.or_else(|| error.committed_offset().map(str::to_owned));
        known.filter(|_| self.channels == 1)
    }

    /// Running a load again is safe after any error, unless it would find other channels than it expects.
    pub(super) fn resumable(&self, error: Error) -> Error {
        let is_guarded = !matches!(self.settings.expected, ExpectedOffset::Anything);
        match error.kind() {
            ErrorKind::Stopped if is_guarded && self.report.rows_sent > 0 => error.not_retryable().advise(UNGUARDED),
            _ if is_guarded && self.report.rows_sent > 0 => error.not_retryable().and_advise(UNGUARDED),
            ErrorKind::Channel => error.retryable(),
            _ => error,
        }
    }
}

const UNGUARDED: &str = "run it again without the expected offset: the channel has rows of it now";
