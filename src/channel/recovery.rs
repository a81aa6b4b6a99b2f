use super::Channel;
use crate::commit::OffsetToken;
use crate::error::{Error, ErrorKind};

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

    /// Whether everything that was ever appended through this handle is stored, also the append whose outcome was unknown.
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
    /// [`Rejected`](ErrorKind::Rejected) when the committed offset is none that this handle sent or began with: another
    /// writer uses the channel. Otherwise those of [`reopen`](Channel::reopen).
    pub fn recover(&mut self) -> Result<Recovery, Error> {
        let mut expected = self.ledger.clone();
        expected.sent(self.in_doubt.take());
        self.reopen()?;
        let committed = self.committed_offset().cloned();
        if !expected.explains(committed.as_ref()) {
            return Err(self.unexplained(committed.as_ref()));
        }
        let is_complete = expected.last_sent() == committed.as_ref();
        Ok(Recovery { committed, is_complete })
    }

    fn unexplained(&self, committed: Option<&OffsetToken>) -> Error {
        let told = committed.map_or("none".to_string(), OffsetToken::to_string);
        Error::new(ErrorKind::Rejected, format!("its committed offset is {told}, which was never appended here"))
            .attempting(self.attempted("recover"))
            .advise("look for a second writer that uses the same channel name")
    }
}
