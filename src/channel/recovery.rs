use super::Channel;
use crate::error::{Error, ErrorKind};
use crate::rows::OffsetToken;

/// What a recovered channel has, and so what is to be sent again.
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
    /// After a doubt or a loss: opens the channel again, compares what the service has with what this handle sent, and
    /// tells what is to be sent again. The handle is as good as new afterwards.
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
    /// - [`Rejected`](ErrorKind::Rejected) when the committed offset is none that this handle sent or began with: another
    ///   writer uses the channel, and the handle appends no more unless it is reopened.
    /// - [`Unconfirmed`](ErrorKind::Unconfirmed) when the last rows sent had no offset token: the handle is as good as new,
    ///   but nobody can tell whether they are stored.
    /// - otherwise those of [`reopen`](Channel::reopen); then nothing is forgotten, and this can be called again.
    pub fn recover(&mut self) -> Result<Recovery, Error> {
        let mut expected = self.ledger.clone();
        if let Some(last) = &self.in_doubt {
            expected.sent(last.clone());
        }
        let is_all_sent = self.rows_sent >= self.rows_given;
        self.reopen()?;
        let committed = self.committed_offset().cloned();
        if !expected.explains(committed.as_ref()) {
            let error = self.unexplained(committed.as_ref());
            // The next recovery must not take the rows of somebody else for the end of ours.
            self.ledger = expected;
            self.take_down(error.clone());
            return Err(error);
        }
        let has_last_token = expected.last_sent() == committed.as_ref();
        if has_last_token && expected.ends_without_token() {
            return Err(self.untold(committed.as_ref()));
        }
        Ok(Recovery { committed, is_complete: has_last_token && is_all_sent })
    }

    fn untold(&self, committed: Option<&OffsetToken>) -> Error {
        let told = committed.map_or("the beginning".to_string(), |token| format!("offset {token}"));
        let happened =
            format!("the rows sent after {told} had no offset token, and so nobody can tell what became of them");
        Error::new(ErrorKind::Unconfirmed, happened)
            .attempting(self.attempted("recover"))
            .advise("look for these rows in the table; mark every batch with an offset token")
    }

    fn unexplained(&self, committed: Option<&OffsetToken>) -> Error {
        let told = committed.map_or("none".to_string(), OffsetToken::to_string);
        Error::new(ErrorKind::Rejected, format!("its committed offset is {told}, which was never appended here"))
            .attempting(self.attempted("recover"))
            .advise("look for a second writer that uses the same channel name")
    }
}
