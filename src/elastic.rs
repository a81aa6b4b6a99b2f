use parking_lot::Mutex;

use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::{Batch, Compressor, Payload, Payloads};
use crate::snowflake::api;

/// Appends rows at least once, in no order, from any number of threads.
///
/// A success means that the rows are stored durably; they become visible some seconds later. There is no offset to resume
/// from and no account of rejected rows: those go to the table's error table if it has one. Give rows an id of their own,
/// so that a duplicate can be found. For exactly-once use [`Pipe::channel`].
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe, batches: &[snowpipe_streaming::Batch]) {
/// let elastic = &pipe.elastic();
/// std::thread::scope(|scope| {
///     let append = |batch| scope.spawn(move || elastic.append(batch));
///     let threads: Vec<_> = batches.iter().map(append).collect();
///     for thread in threads {
///         if let Ok(Err(error)) = thread.join() {
///             eprintln!("{error}");
///         }
///     }
/// });
/// # }
/// ```
#[derive(Debug)]
pub struct Elastic {
    pipe: Pipe,
    /// What compression needs, one for each thread that appends at the same time.
    spare: Mutex<Vec<(Compressor, Payload)>>,
}

impl Pipe {
    /// Appends without a channel: at least once, in no order, from any number of threads.
    pub fn elastic(&self) -> Elastic {
        Elastic { pipe: self.clone(), spare: Mutex::default() }
    }
}

impl Elastic {
    /// Appends the rows, in as many requests as they need; an empty batch sends nothing. Offset tokens are not sent.
    ///
    /// # Blocking
    ///
    /// Until the service has stored the rows; on trouble the same request is repeated until the client's retry budget
    /// ends.
    ///
    /// # Errors
    ///
    /// - [`Unconfirmed`](ErrorKind::Unconfirmed) when a request may have been applied: sending the batch again may double
    ///   its rows.
    /// - [`Channel`](ErrorKind::Channel) when the service says that the pipe is stale or has moved: append the batch again, if
    ///   [`is_retryable`](Error::is_retryable) says so. There is no channel to be reopened.
    /// - [`Row`](ErrorKind::Row) for a row too long for any request.
    /// - otherwise those of every request: see [`Client`](crate::Client#errors).
    ///
    /// After an error of a batch that took several requests, the first of them may be stored. Then
    /// [`rows_stored`](Error::rows_stored) and the text say how many rows those are, and
    /// [`is_retryable`](Error::is_retryable) is false. [`Batch::without_first`] is what is left:
    ///
    /// ```no_run
    /// # use snowpipe_streaming::{Batch, Elastic, Error, ErrorKind};
    /// # fn example(elastic: &Elastic, batch: &Batch) -> Result<(), Error> {
    /// if let Err(error) = elastic.append(batch) {
    ///     if !matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable) {
    ///         return Err(error);
    ///     }
    ///     elastic.append(&batch.without_first(error.rows_stored() as usize))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn append(&self, batch: &Batch) -> Result<(), Error> {
        let (mut compressor, mut payload) = self.spare.lock().pop().unwrap_or_default();
        let result = self.append_each(batch, &mut compressor, &mut payload);
        self.spare.lock().push((compressor, payload));
        result
    }

    fn append_each(&self, batch: &Batch, compressor: &mut Compressor, payload: &mut Payload) -> Result<(), Error> {
        let (mut payloads, mut stored) = (Payloads::of(batch), 0);
        let in_part = |error, stored| after_part(error, stored, batch.rows());
        while payloads.next(compressor, payload).map_err(|error| in_part(error, stored))? {
            match api::append_elastic(self.pipe.session(), self.pipe.name(), payload) {
                Ok(()) => stored += payload.rows,
                // A proxy may take less than the service does.
                Err(error) if error.status() == Some(413) && is_refused(&error) && payloads.halve() => {}
                Err(error) => return Err(in_part(without_channel(error), stored)),
            }
        }
        Ok(())
    }
}

/// What a response says of a channel is no advice where there is none.
fn without_channel(error: Error) -> Error {
    let is_refused = error.status().is_some_and(|status| status >= 400);
    match error.kind() {
        ErrorKind::Channel if is_refused => {
            error.advise("append the rows again: none of this request are stored").retryable()
        }
        ErrorKind::Channel | ErrorKind::Unconfirmed => {
            error.advise("find out whether the rows are stored: appending them again may double them")
        }
        _ => error,
    }
}

/// And not in doubt.
fn is_refused(error: &Error) -> bool {
    error.kind() == ErrorKind::Refused
}

/// Appending the same batch again would double the rows that are stored.
fn after_part(error: Error, stored: usize, rows: usize) -> Error {
    if stored == 0 {
        return error;
    }
    error
        .not_retryable()
        .with_rows_stored(stored as u64)
        .and_advise(&format!("the first {stored} of {rows} rows are stored: append only those after them"))
}
