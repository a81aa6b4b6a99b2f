//! The errors of a delivery, in words.

use super::Delivery;
use super::recovery::MAX_OUTDATED;
use crate::channel::rows_rejected;
use crate::error::{Error, ErrorKind, clean};

impl Delivery {
    /// The error for this many rejected rows, once everything is committed.
    pub(crate) fn rejected(&self, rows: u64) -> Error {
        rows_rejected(rows, self.channel.status_of_rejections())
    }

    /// The same while other rows are not committed yet.
    pub(crate) fn rejected_so_far(&self, rows: u64) -> Error {
        let status = self.channel.status_of_rejections();
        let near =
            status.last_error_offset().map(|offset| format!(" at or before offset {offset}")).unwrap_or_default();
        let reason = clean(status.last_error_message().unwrap_or("the service gives no reason"));
        let happened = format!("of the rows sent so far {rows} could not be stored, the last{near}: {reason}");
        Error::new(ErrorKind::NotStored, happened)
            .attempting(format!("store all rows on channel {}", self.channel.name()))
            .with_rows_rejected(rows)
            .advise("write the corrected rows under tokens of their own; repeating them as they are will not help")
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

    /// After a few openings that lagged.
    pub(super) fn still_outdated(&self, outdated: Error) -> Error {
        let happened = format!("{MAX_OUTDATED} openings in a row were behind what the service had reported; the last");
        outdated.into_kind(ErrorKind::Unavailable, &happened).advise("try again later: nothing is lost")
    }

    /// The same after one that was not waited for.
    pub(super) fn outdated_once(&self, outdated: Error) -> Error {
        let happened = "the channel was opened behind what the service had reported";
        outdated.into_kind(ErrorKind::Unavailable, happened).advise("try again later: nothing is lost")
    }

    /// Of a call that reopens the channel once only.
    pub(super) fn failed_again(&self, cause: Error) -> Error {
        let happened = "an append failed again after the channel was reopened; the failure";
        cause.into_kind(ErrorKind::Unavailable, happened).advise("try again later: nothing is lost")
    }

    /// Rows sent from now on would follow a gap.
    pub(super) fn begun_before(&self) -> Error {
        let happened = "a batch that was appended before the writer began was accepted only in part";
        Error::new(ErrorKind::Conflict, happened)
            .attempting(format!("write to channel {}", self.channel.name()))
            .advise("open the channel again and resume after its committed offset")
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
