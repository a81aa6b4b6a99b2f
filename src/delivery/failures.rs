//! The errors of a delivery, in words.

use super::Delivery;
use crate::channel::rows_rejected;
use crate::error::{Error, ErrorKind, clean};
use crate::rows::offset_or_none;

impl Delivery {
    /// The error for this many rejected rows, once everything is committed.
    pub(crate) fn rejected(&self, rows: u64) -> Error {
        rows_rejected(rows, &self.last_status)
    }

    /// The same while other rows are not committed yet.
    pub(crate) fn rejected_so_far(&self, rows: u64) -> Error {
        let status = &self.last_status;
        let near =
            status.last_error_offset().map(|offset| format!(" at or before offset {offset}")).unwrap_or_default();
        let reason = clean(status.last_error_message().unwrap_or("the service gives no reason"));
        let happened = format!("of the rows sent so far {rows} could not be stored, the last{near}: {reason}");
        Error::new(ErrorKind::NotStored, happened)
            .attempting(format!("store all rows on channel {}", self.channel.name()))
            .with_rows_rejected(rows)
            .advise("correct these rows; repeating them as they are will not help")
    }

    pub(super) fn commit_overdue(&self) -> Error {
        let happened = match self.committed_offset() {
            Some(offset) => format!("no commit within {:?} beyond offset {offset}", self.commit_timeout),
            None => format!("no commit within {:?}", self.commit_timeout),
        };
        Error::new(ErrorKind::Timeout, happened)
            .attempting(format!("confirm the commit of all rows on channel {}", self.channel.name()))
            .advise("run it again: it resumes after what is committed")
    }

    /// Reopening the channel settles whose offset it is.
    pub(super) fn foreign_offset(&self) -> Error {
        let reported = offset_or_none(self.channel.in_flight().reported());
        Error::new(ErrorKind::Channel, format!("its committed offset is {reported}, which was not sent here"))
            .attempting(format!("confirm the commit of rows on channel {}", self.channel.name()))
            .advise("look for a second writer that uses the same channel name")
    }

    pub(super) fn inherited_lost(&self) -> Error {
        Error::new(ErrorKind::Conflict, "rows that were appended before the writer began were lost with the channel")
            .attempting(format!("resume channel {}", self.channel.name()))
            .advise("open the channel again and resume after its committed offset")
    }

    pub(super) fn unproven(&self) -> Error {
        let happened = "rows that were appended before the writer began had no offset token, so it is unknown whether they are stored";
        Error::new(ErrorKind::Unconfirmed, happened)
            .attempting(format!("confirm the commit of all rows on channel {}", self.channel.name()))
            .advise("look for these rows in the table; mark every batch with an offset token")
    }
}
