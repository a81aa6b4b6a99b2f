use super::in_flight::Reconciled;
use super::{Channel, Uncommitted};
use crate::error::{Error, ErrorKind};
use crate::rows::{OffsetToken, offset_or_none};

/// What a recovered channel has committed, and so what must be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    committed: Option<OffsetToken>,
    is_complete: bool,
}

impl Recovery {
    /// The offset token up to which all rows are stored: resume after it. `None`: resume from the start.
    pub fn committed_offset(&self) -> Option<&OffsetToken> {
        self.committed.as_ref()
    }

    /// Whether everything that was ever given to this handle to append is stored, also the append whose outcome was unknown
    /// and what came after it.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl Channel {
    /// Reopens the channel after an error of kind `Channel` or `Unconfirmed`, compares what the service has committed with
    /// what this handle sent, and returns what to send again. The handle can append again afterwards.
    ///
    /// ```no_run
    /// # use snowpipe_streaming::{Batch, Channel, Error, ErrorKind};
    /// # fn example(channel: &mut Channel, batch: &Batch) -> Result<(), Error> {
    /// match channel.append(batch) {
    ///     Err(error) if matches!(error.kind(), ErrorKind::Unconfirmed | ErrorKind::Channel) => {
    ///         let recovery = channel.recover()?;
    ///         if !recovery.is_complete() {
    ///             // Of this batch; where earlier ones may be missing too, resume the source after the committed offset.
    ///             channel.append(&batch.after(recovery.committed_offset()))?;
    ///         }
    ///     }
    ///     result => result?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Blocking
    ///
    /// As [`reopen`](Channel::reopen).
    ///
    /// # Errors
    ///
    /// - [`Conflict`](ErrorKind::Conflict) when this handle neither sent the committed offset nor began with it: another
    ///   writer uses the channel, and the handle appends no more unless it is reopened.
    /// - [`Unconfirmed`](ErrorKind::Unconfirmed) when the last rows sent had no offset token: the handle can append again,
    ///   but whether they are stored is unknown.
    /// - otherwise those of [`reopen`](Channel::reopen); then nothing is forgotten, and this can be called again.
    pub fn recover(&mut self) -> Result<Recovery, Error> {
        let has_unsent_rows = self.has_unsent_rows;
        let uncommitted = self.reconcile()?;
        let committed = self.committed_offset().cloned();
        // Of an offset that was sent twice the newest request counts: reopening waited for all that were accepted.
        let newest = uncommitted.newest_offset();
        let is_newest_committed = newest.is_none() || newest == committed.as_ref();
        if is_newest_committed && uncommitted.ends_without_offset() {
            return Err(self.unknown_after(committed.as_ref()));
        }
        Ok(Recovery { is_complete: is_newest_committed && !has_unsent_rows, committed })
    }

    /// Reopens the channel and takes its committed offset as authoritative for what was sent through this handle.
    ///
    /// If reopening fails nothing is forgotten, and this can be called again. If another writer has committed rows in the
    /// meantime, the handle appends no more.
    pub(crate) fn reconcile(&mut self) -> Result<Uncommitted, Error> {
        let opened = self.builder.clone().open()?;
        self.reconcile_with(opened)
    }

    /// The same, but neither waits for rows that are still to be committed nor discards them: then nothing changes, and the
    /// error is of kind `Timeout`.
    pub(crate) fn reconcile_if_settled(&mut self) -> Result<Uncommitted, Error> {
        let builder = self.builder.clone();
        let opened = builder.clone().only_if_settled().open()?;
        let reconciled = self.reconcile_with(opened);
        self.builder = builder;
        reconciled
    }

    fn reconcile_with(&mut self, opened: Channel) -> Result<Uncommitted, Error> {
        let mut in_flight = std::mem::take(&mut self.in_flight);
        self.take_over(opened);
        let committed = self.status_at_open.committed_offset();
        let reconciled = in_flight.reconcile(committed.as_ref(), self.pipe.clock().now());
        self.in_flight = in_flight;
        match reconciled {
            Reconciled::Resumable(uncommitted) => Ok(uncommitted),
            Reconciled::Foreign => {
                let error = self.foreign(committed.as_ref());
                self.take_down(error.clone());
                Err(error)
            }
        }
    }

    fn unknown_after(&self, committed: Option<&OffsetToken>) -> Error {
        let place = committed.map_or("the beginning".to_string(), |offset| format!("offset {offset}"));
        let happened = format!("rows sent after {place} had no offset token, so it is unknown whether they are stored");
        Error::new(ErrorKind::Unconfirmed, happened)
            .attempting(self.attempted("recover"))
            .advise("look for these rows in the table; mark every batch with an offset token")
    }

    fn foreign(&self, found: Option<&OffsetToken>) -> Error {
        let (found, known) = (offset_or_none(found), offset_or_none(self.in_flight.committed()));
        let happened = format!("its committed offset is {found}; expected {known} or an offset sent since");
        Error::new(ErrorKind::Conflict, happened)
            .attempting(self.attempted("resume"))
            .advise("look for a second writer that uses the same channel name")
    }
}
