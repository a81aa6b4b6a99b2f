//! How rows get into a writer and out of it.

use super::Writer;
use crate::delivery::{Delivery, Effort};
use crate::error::Error;
use crate::rows::{Batch, OffsetToken, Payload, Payloads};

impl Writer {
    /// Takes a row over if there is room for it, and sends if it is time to.
    pub(super) fn take(
        &mut self,
        offset: OffsetToken,
        push: impl FnOnce(&mut Batch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut sent = self.delivery.check_ended();
        if sent.is_ok() && self.is_full() {
            sent = self.send_all();
        }
        // An error that has made room is told with the row that takes it.
        if sent.is_err() && (self.is_full() || self.delivery.check_ended().is_err()) {
            return self.finish(sent).map_err(|error| self.explain_not_taken(error));
        }
        let bytes = self.batch.bytes();
        push(&mut self.batch)?;
        self.mark(offset)?;
        self.rows_written += 1;
        self.bytes_written += (self.batch.bytes() - bytes) as u64;
        self.oldest.get_or_insert(self.delivery.channel().pipe().clock().now());
        if sent.is_ok() && self.is_due() {
            sent = self.send_all();
        }
        self.finish(sent).map_err(|error| self.explain_kept(error))
    }

    #[cfg(test)]
    pub(crate) fn retaining_at_most(mut self, bytes: usize) -> Writer {
        self.delivery.retain_at_most(bytes);
        self
    }

    fn is_full(&self) -> bool {
        self.batch.memory() >= self.max_bytes
    }

    /// Whether the buffer is full, or its oldest row old enough.
    pub(super) fn is_due(&self) -> bool {
        let now = self.delivery.channel().pipe().clock().now();
        self.is_full() || self.oldest.is_some_and(|oldest| now.since(oldest) >= self.max_age)
    }

    pub(super) fn commit_all(&mut self) -> Result<(), Error> {
        loop {
            self.send_all()?;
            match self.delivery.wait_until(Delivery::is_done, |_| {}) {
                Ok(()) => return self.delivery.check_proven(),
                Err(error) => self.delivery.recover(error)?,
            }
        }
    }

    /// Sends what it can at once, and looks once.
    pub(super) fn look_for_commit(&mut self) -> Result<(), Error> {
        self.delivery.set_effort(Effort::Brief);
        let looked = self.send_all().and_then(|()| self.delivery.look_once());
        self.delivery.set_effort(Effort::Waiting);
        looked?;
        if self.is_done() { self.delivery.check_proven() } else { Ok(()) }
    }

    /// Whether nothing is known that is not committed.
    pub(super) fn is_done(&self) -> bool {
        self.batch.is_empty() && self.delivery.is_done()
    }

    /// Sends what was packed before, then packs and sends the buffer request by request, waiting for room before each. What
    /// cannot be sent is packed all the same while there is room: compressed it takes less.
    pub(super) fn send_all(&mut self) -> Result<(), Error> {
        let mut sent = self.delivery.deliver();
        let (mut payloads, mut packed_rows) = (Payloads::of(&self.batch), 0);
        while packed_rows < self.batch.rows() {
            let full_request = self.delivery.full_request();
            sent = sent.and_then(|()| self.delivery.make_room(full_request));
            if !self.delivery.has_room_for(full_request) {
                break;
            }
            let mut payload = Payload::default();
            match payloads.next(&mut self.compressor, &mut payload) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    sent = Err(error);
                    break;
                }
            }
            // The tokens of short rows may take more than the rows.
            sent = sent.and_then(|()| self.delivery.make_room(payload.memory()));
            if !self.delivery.has_room_for(payload.memory()) {
                break;
            }
            packed_rows += payload.rows;
            self.delivery.enqueue(payload);
            sent = sent.and_then(|()| self.delivery.deliver());
        }
        self.forget_packed(packed_rows);
        sent
    }

    fn forget_packed(&mut self, rows: usize) {
        if rows < self.batch.rows() {
            self.batch.drop_first(rows);
            return;
        }
        self.batch.clear();
        self.oldest = None;
    }

    /// What every call ends with.
    pub(super) fn finish(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.delivery.end_call();
        result.and_then(|()| self.report_rejected()).map_err(|error| self.explain(error))
    }

    fn report_rejected(&mut self) -> Result<(), Error> {
        let rejected = self.delivery.totals().rejected;
        let unreported = rejected - std::mem::replace(&mut self.rejected_reported, rejected);
        match unreported {
            0 => Ok(()),
            _ if self.is_done() => Err(self.delivery.rejected(unreported)),
            _ => Err(self.delivery.rejected_so_far(unreported)),
        }
    }
}
