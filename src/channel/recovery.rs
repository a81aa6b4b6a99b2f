use std::time::Duration;

use super::in_flight::Reconciled;
use super::{Channel, ChannelBuilder, Link, Uncommitted};
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, OffsetToken, offset_or_none};

/// What a recovered channel has committed, and so what must be sent again.
#[must_use = "rows may be missing, which only `is_complete` and `rest_of` say"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    committed: Option<OffsetToken>,
    /// The first rows that are not stored, if any: the last of their offset tokens, if they had one.
    first_missing: Option<Option<OffsetToken>>,
}

impl Recovery {
    /// The offset token up to which all rows are stored: resume after it. `None`: resume from the start.
    pub fn committed_offset(&self) -> Option<&OffsetToken> {
        self.committed.as_ref()
    }

    /// Whether everything that was given to this handle to append, since it was opened or [reopened](Channel::reopen), is
    /// stored: the append whose outcome was unknown, what came after it, and batches that were refused or throttled.
    ///
    /// What is missing stays so, also for later recoveries, until a batch with its last offset token is appended. Rows
    /// without a token are taken for appended with the next batch without one.
    pub fn is_complete(&self) -> bool {
        self.first_missing.is_none()
    }

    /// The rows of the failed batch that are still to be sent: none if all is stored.
    ///
    /// # Errors
    ///
    /// [`Channel`](ErrorKind::Channel) when rows are missing that were appended before this batch, because another writer
    /// discarded them or their batch failed, too: sending the rest of this one would leave a gap. Reopen the channel and
    /// resume the source after the committed offset, which the error names, instead.
    pub fn rest_of(&self, batch: &Batch) -> Result<Batch, Error> {
        let Some(missing) = &self.first_missing else { return Ok(Batch::new()) };
        let is_committed_in_part = self.committed.as_ref().is_some_and(|offset| batch.has_offset(offset));
        let begins_the_missing = match missing {
            Some(last) => batch.has_offset(last),
            // Nothing was sent: a batch without offsets cannot be told from another.
            None => batch.last_offset().is_none(),
        };
        if is_committed_in_part || begins_the_missing {
            return Ok(batch.after(self.committed_offset()));
        }
        Err(self.earlier_missing())
    }

    fn earlier_missing(&self) -> Error {
        let place = place_of(self.committed_offset());
        let error =
            Error::new(ErrorKind::Channel, format!("rows that come before this batch are missing after {place}"))
                .attempting("send the rest of a batch")
                .advise(format!("reopen the channel and resume the source after {place}"));
        match &self.committed {
            Some(offset) => error.with_committed_offset(offset.to_string()),
            None => error,
        }
    }
}

impl Channel {
    /// Opens the channel again, after an error of kind `Channel` or `Unconfirmed`. Rows that were sent and are not committed
    /// are awaited first, so the committed offset is final.
    ///
    /// For a caller that resumes its source after the committed offset: what a [`recover`](Channel::recover) would find
    /// missing is forgotten.
    ///
    /// # Blocking
    ///
    /// As [`ChannelBuilder::open`](crate::ChannelBuilder::open), with the same settings, except that an expected offset is
    /// not compared again and that nothing is discarded: both concern the first opening only.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](ErrorKind::Conflict): the channel was deleted and created again; the handle appends no more.
    /// - [`Unconfirmed`](ErrorKind::Unconfirmed): the service reports an offset that is older than one it has reported
    ///   before, so it is unknown what was stored after that; reopen again.
    /// - otherwise those of [`ChannelBuilder::open`](crate::ChannelBuilder::open).
    pub fn reopen(&mut self) -> Result<(), Error> {
        if let Reconciled::Foreign = self.reopen_and_compare(self.builder.clone())? {
            self.in_flight.begin_after(self.status_at_open.committed_offset());
        }
        self.missing.clear();
        self.unproven = None;
        Ok(())
    }

    /// Reopens the channel after an error of kind `Channel` or `Unconfirmed`, compares what the service has committed with
    /// what this handle sent, and returns what to send again. The handle can append again afterwards.
    ///
    /// ```no_run
    /// # use snowpipe_streaming::{Batch, Channel, Error, ErrorKind};
    /// # fn example(channel: &mut Channel, batch: &Batch) -> Result<(), Error> {
    /// match channel.append(batch) {
    ///     Err(error) if matches!(error.kind(), ErrorKind::Unconfirmed | ErrorKind::Channel) => {
    ///         let recovery = channel.recover()?;
    ///         // Fails if rows before this batch are missing: then the source has to be resumed after the committed offset.
    ///         let rest = recovery.rest_of(batch)?;
    ///         channel.append(&rest)?;
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
    /// - [`Unconfirmed`](ErrorKind::Unconfirmed) when rows in flight had no offset token, or the service has stored rows
    ///   and reports no offset: the handle can append again, but whether they are stored is unknown, and so says every later
    ///   recovery until [`reopen`](Channel::reopen).
    /// - otherwise those of [`reopen`](Channel::reopen); then nothing is forgotten, and this can be called again.
    pub fn recover(&mut self) -> Result<Recovery, Error> {
        let uncommitted = self.reconcile()?;
        let committed = self.committed_offset().cloned();
        self.missing.note_lost(&uncommitted, committed.as_ref());
        self.missing.settle_committed(committed.as_ref());
        if let Err(error) = self.check_not_stored(&uncommitted) {
            self.unproven = Some(error);
        } else if uncommitted.has_unmarked() {
            self.unproven = Some(self.unknown_after(committed.as_ref()));
        }
        if let Some(error) = &self.unproven {
            return Err(error.clone());
        }
        Ok(Recovery { first_missing: self.missing.first().map(Option::<&OffsetToken>::cloned), committed })
    }

    /// Reopens the channel and takes its committed offset as authoritative for what was sent through this handle.
    ///
    /// If reopening fails nothing is forgotten, and this can be called again. If another writer has committed rows in the
    /// meantime, the handle appends no more.
    pub(crate) fn reconcile(&mut self) -> Result<Uncommitted, Error> {
        self.reconcile_by(self.builder.clone())
    }

    /// The same, but waits no longer than this for rows that are still to be committed.
    pub(crate) fn reconcile_within(&mut self, timeout: Duration) -> Result<Uncommitted, Error> {
        self.reconcile_by(self.builder.clone().open_timeout_at_most(timeout))
    }

    /// The same, but neither waits for rows that are still to be committed nor discards them: then nothing changes, and the
    /// error is of kind `Timeout`.
    pub(crate) fn reconcile_if_settled(&mut self) -> Result<Uncommitted, Error> {
        self.reconcile_by(self.builder.clone().only_if_settled())
    }

    fn reconcile_by(&mut self, builder: ChannelBuilder) -> Result<Uncommitted, Error> {
        match self.reopen_and_compare(builder)? {
            Reconciled::Resumable(uncommitted) => Ok(uncommitted),
            Reconciled::Foreign | Reconciled::Outdated => {
                let error = self.foreign(self.status_at_open.committed_offset().as_ref());
                self.take_down(error.clone());
                Err(error)
            }
        }
    }

    /// An error if the channel has got rows since it was opened before, yet reports no offset: then those in flight may be
    /// stored, and sending them again would double them.
    pub(crate) fn check_not_stored(&self, uncommitted: &Uncommitted) -> Result<(), Error> {
        let status = &self.status_at_open;
        if uncommitted.is_empty() || self.rows_since == 0 || status.committed_offset().is_some() {
            return Ok(());
        }
        let rows = if self.rows_since == 1 { "1 row".to_string() } else { format!("{} rows", self.rows_since) };
        let happened = format!("the service has stored {rows} of it and reports no offset, so it is unknown which");
        Err(Error::new(ErrorKind::Unconfirmed, happened)
            .attempting(self.attempted("resume"))
            .advise("compare the table with the source before sending any of it again"))
    }

    /// Takes over what was opened, and keeps what is known of before.
    fn reopen_and_compare(&mut self, builder: ChannelBuilder) -> Result<Reconciled, Error> {
        if let Link::Ended(error) = &self.link {
            return Err(error.clone());
        }
        let opened = builder.open()?;
        let committed = opened.status_at_open.committed_offset();
        self.check_creation(&opened.status_at_open)?;
        // With fewer rows than before, an offset that is not known here is one from before the first opening.
        let is_behind = opened.rows_at_open < self.rows_at_open;
        self.take_over(opened);
        let reconciled = match self.in_flight.reconcile(committed.as_ref(), self.pipe.clock().now()) {
            Reconciled::Foreign if is_behind => Reconciled::Outdated,
            reconciled => reconciled,
        };
        if let Reconciled::Outdated = reconciled {
            let error = self.outdated(committed.as_ref());
            self.take_down(error.clone());
            return Err(error);
        }
        Ok(reconciled)
    }

    fn take_over(&mut self, opened: Channel) {
        self.pipe.session().counters().add_reopen();
        self.rejections.reopen(&opened.status_at_open);
        self.created_on_ms = opened.created_on_ms.or(self.created_on_ms);
        self.rows_since = opened.rows_at_open.saturating_sub(self.rows_at_open);
        self.rows_at_open = self.rows_at_open.max(opened.rows_at_open);
        (self.name, self.link, self.pace) = (opened.name, opened.link, opened.pace);
        self.status_at_open = opened.status_at_open;
        self.reopens += 1;
    }

    fn unknown_after(&self, committed: Option<&OffsetToken>) -> Error {
        let place = place_of(committed);
        let happened = format!("rows sent after {place} had no offset token, so it is unknown whether they are stored");
        Error::new(ErrorKind::Unconfirmed, happened)
            .attempting(self.attempted("recover"))
            .advise("look for these rows in the table; mark every batch with an offset token")
    }

    fn outdated(&self, found: Option<&OffsetToken>) -> Error {
        let (found, known) = (offset_or_none(found), offset_or_none(self.in_flight.committed()));
        let happened = format!(
            "it reports offset {found} as committed, and reported {known} before: what was stored after that is unknown"
        );
        Error::new(ErrorKind::Unconfirmed, happened)
            .attempting(self.attempted("resume"))
            .advise("reopen the channel again, when the service has caught up")
    }

    fn foreign(&self, found: Option<&OffsetToken>) -> Error {
        let (found, known) = (offset_or_none(found), offset_or_none(self.in_flight.committed()));
        let happened = format!("its committed offset is {found}; expected {known} or an offset sent since");
        Error::new(ErrorKind::Conflict, happened)
            .attempting(self.attempted("resume"))
            .advise("look for a second writer that uses the same channel name")
    }
}

fn place_of(committed: Option<&OffsetToken>) -> String {
    committed.map_or("the beginning".to_string(), |offset| format!("offset {offset}"))
}
