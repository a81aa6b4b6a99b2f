use crate::snowflake::status::ChannelStatus;

/// The rows of a channel that the service could not store: each is reported to the caller once.
///
/// The service counts them over the life of the channel. A smaller count than one seen before comes from a status that lags,
/// so the largest counts, also over a reopening.
#[derive(Debug)]
pub(super) struct Rejections {
    /// The status with the largest count.
    seen: ChannelStatus,
    /// Of the channel that is counted: not every status says it.
    created_on_ms: Option<u64>,
    reported: u64,
    /// Not reported yet, of a channel that was deleted and created again since.
    carried: u64,
}

impl Rejections {
    /// Rows that were rejected before this status are of no concern.
    pub(super) fn since(status: ChannelStatus) -> Rejections {
        let (reported, created_on_ms) = (status.rows_rejected(), status.created_on_ms());
        Rejections { seen: status, created_on_ms, reported, carried: 0 }
    }

    pub(super) fn note(&mut self, status: &ChannelStatus) {
        self.created_on_ms = self.created_on_ms.or(status.created_on_ms());
        if status.rows_rejected() >= self.seen.rows_rejected() {
            self.seen = status.clone();
        }
    }

    /// Takes the count of a channel that was opened again. Rows that were rejected in the meantime are still to be
    /// reported. A channel that was created again counts from zero.
    pub(super) fn reopen(&mut self, status: &ChannelStatus) {
        let is_new = match (self.created_on_ms, status.created_on_ms()) {
            (Some(known), Some(found)) => known != found,
            _ => status.rows_rejected() < self.seen.rows_rejected(),
        };
        if !is_new {
            return self.note(status);
        }
        *self = Rejections { carried: self.unreported(), ..Rejections::since(status.clone()) };
    }

    /// Rows that are not reported yet; they are from now on.
    pub(super) fn take(&mut self) -> u64 {
        let unreported = self.unreported();
        (self.reported, self.carried) = (self.seen.rows_rejected(), 0);
        unreported
    }

    fn unreported(&self) -> u64 {
        self.carried + self.seen.rows_rejected().saturating_sub(self.reported)
    }

    /// The status that counts the most rows, which also has the reason for the last.
    pub(super) fn status(&self) -> &ChannelStatus {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(rejected: u64) -> ChannelStatus {
        serde_json::from_str(&format!("{{\"rows_error_count\":{rejected}}}")).unwrap()
    }

    #[test]
    fn statuses_that_come_out_of_order_count_each_row_once() {
        let mut rejections = Rejections::since(status(1));
        let taken = [3, 1, 3, 4].map(|count| {
            rejections.note(&status(count));
            rejections.take()
        });
        assert_eq!(taken, [2, 0, 0, 1]);
    }

    #[test]
    fn a_row_that_any_status_counted_is_reported_after_one_that_lags() {
        let mut rejections = Rejections::since(status(0));
        rejections.note(&status(2));
        rejections.note(&status(0));
        assert_eq!((rejections.take(), rejections.take()), (2, 0));
    }

    #[test]
    fn without_the_time_of_creation_a_smaller_count_at_an_open_is_a_new_beginning() {
        let mut rejections = Rejections::since(status(5));
        rejections.note(&status(6));
        rejections.reopen(&status(2));
        assert_eq!(rejections.take(), 1, "seen before");
        rejections.note(&status(3));
        assert_eq!(rejections.take(), 1);
        rejections.reopen(&status(7));
        assert_eq!(rejections.take(), 4, "rejected while the channel was lost");
    }

    #[test]
    fn rows_of_a_channel_created_again_are_counted_from_zero_and_those_from_before_are_carried_over() {
        let created = |rejected: u64, on: u64| -> ChannelStatus {
            serde_json::from_str(&format!("{{\"rows_error_count\":{rejected},\"created_on_ms\":{on}}}")).unwrap()
        };
        let mut rejections = Rejections::since(created(5, 1));
        rejections.note(&created(7, 1));
        rejections.reopen(&created(0, 1));
        assert_eq!(rejections.take(), 2, "an open that lags takes none back");
        rejections.note(&created(8, 1));
        rejections.reopen(&created(3, 2));
        rejections.note(&created(4, 2));
        assert_eq!((rejections.take(), rejections.take()), (2, 0), "one from before and one since");
    }
}
