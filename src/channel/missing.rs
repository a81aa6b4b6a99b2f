use super::Uncommitted;
use crate::rows::{Batch, OffsetToken};

/// What was given to a channel to append and is neither stored nor in flight, in the order of its requests.
#[derive(Debug, Default)]
pub(super) struct Missing {
    parts: Vec<MissingPart>,
}

/// A request that was lost with its channel, or a batch that was not sent to its end.
#[derive(Debug)]
struct MissingPart {
    /// The last of its offsets.
    last: Option<OffsetToken>,
    /// The rows behind that one were not sent, though the one itself may have been.
    ends_unsent: bool,
    /// The rows before these were sent, and are in flight or stored.
    is_begun: bool,
    /// Requests that were sent before it.
    requests_before: u64,
}

impl Missing {
    /// Notes a batch of which only the first `sent` rows were sent.
    pub(super) fn note(&mut self, batch: &Batch, sent: usize, requests_before: u64) {
        let last = batch.last_offset();
        // Where nothing was sent, it may be a batch that was sent before and is tried once more.
        let ends_unsent = sent > 0 && last.is_some() && !batch.after(last.as_ref()).is_empty();
        self.push(MissingPart { last, ends_unsent, is_begun: sent > 0, requests_before });
    }

    /// Notes requests that were lost with their channel.
    pub(super) fn note_lost(&mut self, uncommitted: &Uncommitted, committed: Option<&OffsetToken>) {
        for (number, offset) in uncommitted.missing(committed) {
            self.push(MissingPart {
                last: Some(offset.clone()),
                ends_unsent: false,
                is_begun: false,
                requests_before: number - 1,
            });
        }
        self.parts.sort_by_key(|part| part.requests_before);
    }

    fn push(&mut self, part: MissingPart) {
        if let Some(known) = self.parts.iter_mut().find(|known| known.last == part.last) {
            known.ends_unsent |= part.ends_unsent;
            known.is_begun |= part.is_begun;
            known.requests_before = known.requests_before.min(part.requests_before);
            return;
        }
        // The newest is always kept: as long as it is, nothing is called complete.
        self.parts.truncate(MAX_PARTS - 1);
        self.parts.push(part);
    }

    /// The first `sent` rows of this batch are in flight now, so that nothing among them is missing any more.
    pub(super) fn settle(&mut self, batch: &Batch, sent: usize) {
        if self.parts.is_empty() || sent == 0 {
            return;
        }
        let rest = batch.without_first(sent);
        self.parts.retain(|part| !part.is_in(batch) || part.is_in(&rest));
    }

    /// This offset was found to be committed.
    pub(super) fn settle_committed(&mut self, committed: Option<&OffsetToken>) {
        self.parts.retain(|part| part.ends_unsent || part.last.is_none() || part.last.as_ref() != committed);
    }

    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    /// Whether a batch was sent in part, so that rows sent from now on would follow a gap.
    pub(super) fn is_begun(&self) -> bool {
        self.parts.iter().any(|part| part.is_begun)
    }

    /// The last offset of the first part, if there is one and if it had one.
    pub(super) fn first(&self) -> Option<Option<&OffsetToken>> {
        self.parts.first().map(|part| part.last.as_ref())
    }
}

impl MissingPart {
    fn is_in(&self, batch: &Batch) -> bool {
        // Rows without an offset cannot be told from others.
        let has_unmarked = !batch.is_empty() && batch.last_offset().is_none();
        match &self.last {
            Some(last) => batch.has_offset(last) || self.ends_unsent && has_unmarked,
            None => has_unmarked,
        }
    }
}

/// A caller that goes on and on with other batches must not fill the memory: about 100 KB for tokens of ordinary length.
const MAX_PARTS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(ids: std::ops::RangeInclusive<u64>) -> Batch {
        let mut batch = Batch::new();
        for id in ids {
            batch.push_json(b"{}").unwrap();
            batch.mark(id);
        }
        batch
    }

    fn unmarked() -> Batch {
        let mut batch = Batch::new();
        batch.push_json(b"{}").unwrap();
        batch
    }

    #[test]
    fn a_part_is_missing_until_a_batch_with_its_last_row_is_sent() {
        let mut missing = Missing::default();
        missing.note(&batch(1..=3), 0, 0);
        missing.note(&batch(4..=6), 0, 0);
        missing.settle(&batch(1..=5), 2);
        assert_eq!(missing.first(), Some(Some(&3.into())));
        missing.settle(&batch(1..=5), 5);
        assert_eq!(missing.first(), Some(Some(&6.into())));
        missing.settle_committed(Some(&6.into()));
        assert_eq!(missing.first(), None);
    }

    #[test]
    fn an_unmarked_end_is_missing_although_the_offset_before_it_is_committed() {
        let (mut missing, mut cut) = (Missing::default(), batch(1..=1));
        cut.push_json(b"{}").unwrap();
        missing.note(&cut, 1, 1);
        missing.settle_committed(Some(&1.into()));
        assert_eq!(missing.first(), Some(Some(&1.into())));
        missing.settle(&cut.without_first(1), 1);
        assert_eq!(missing.first(), None);
    }

    #[test]
    fn an_empty_batch_settles_nothing() {
        let mut missing = Missing::default();
        missing.note(&unmarked(), 0, 0);
        missing.settle(&Batch::new(), 0);
        missing.settle(&batch(1..=1), 1);
        assert_eq!(missing.first(), Some(None));
        missing.settle(&unmarked(), 1);
        assert_eq!(missing.first(), None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_newest_is_kept() {
        let mut missing = Missing::default();
        (1..=5_000).for_each(|id| missing.note(&batch(id..=id), 0, 0));
        assert_eq!((missing.parts.len(), missing.first()), (MAX_PARTS, Some(Some(&1.into()))));
        (1..=4_999).for_each(|id| missing.settle(&batch(id..=id), 1));
        assert_eq!(missing.first(), Some(Some(&5_000.into())));
    }
}
