use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::Error;
use crate::rows::{Batch, RowOffset};
use crate::stop::Stop;

/// Hands the rows of one partition from the thread that reads the source to the thread of their channel: at most a batch.
///
/// The partitioner pushes rows one by one, the reader takes them all at once. Either side can close the queue; then it
/// takes nothing more in, so what was taken out of it has no gap.
pub(super) struct PartitionQueue {
    max_bytes: usize,
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    /// Rows that the channel has committed already; unknown until the source is past them.
    skipped: Option<u64>,
    batch: Batch,
    /// The next row does not fit.
    is_full: bool,
    is_closed: bool,
    /// Why the reader gets no rows.
    failure: Option<Error>,
}

/// The reading end, which closes the queue when it is dropped.
pub(super) struct QueueReader<'q> {
    queue: &'q PartitionQueue,
    stop: Stop,
}

/// Closes queues when it is dropped, also by a panic, so that no thread waits at one of them forever.
pub(super) struct CloseOnDrop<'q>(pub(super) &'q [PartitionQueue]);

impl PartitionQueue {
    pub(super) fn new(max_bytes: usize) -> PartitionQueue {
        PartitionQueue { max_bytes, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A stop ends the waits of the reader.
    pub(super) fn reader(&self, stop: &Stop) -> QueueReader<'_> {
        QueueReader { queue: self, stop: stop.clone() }
    }

    pub(super) fn set_skipped(&self, rows: u64) {
        self.state.lock().skipped = Some(rows);
        self.changed.notify_all();
    }

    /// Adds the only row of a batch; waits for room.
    pub(super) fn push(&self, offset: RowOffset, row: &Batch) {
        let mut state = self.state.lock();
        if !state.batch.is_empty() && state.batch.bytes() + row.bytes() > self.max_bytes {
            state.is_full = true;
            self.changed.notify_all();
            self.changed.wait_while(&mut state, |state| state.is_full && !state.is_closed);
        }
        if state.is_closed {
            return;
        }
        let is_first = state.batch.is_empty();
        state.batch.push_all(row);
        state.batch.mark(offset);
        state.is_full = state.batch.bytes() >= self.max_bytes;
        if is_first || state.is_full {
            self.changed.notify_all();
        }
    }

    /// Closes the queue with an error for its reader.
    pub(super) fn fail(&self, error: Error) {
        self.state.lock().failure = Some(error);
        self.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }
}

impl QueueReader<'_> {
    /// Waits until the source is past the rows that the channel has committed already, and returns their number.
    pub(super) fn skip_committed(&self) -> Result<u64, Error> {
        let mut state = self.queue.state.lock();
        self.wait_while(&mut state, Duration::MAX, |state| state.skipped.is_none() && !state.is_closed)?;
        state.failure.clone().map_or(Ok(state.skipped.unwrap_or(0)), Err)
    }

    /// Exchanges an empty batch for a full one, or for what there is after `max_wait`; an empty batch is the end.
    pub(super) fn take(&self, batch: &mut Batch, max_wait: Duration) -> Result<(), Error> {
        let mut state = self.queue.state.lock();
        self.wait_while(&mut state, Duration::MAX, |state| state.batch.is_empty() && !state.is_closed)?;
        self.wait_while(&mut state, max_wait, |state| !state.is_full && !state.is_closed)?;
        std::mem::swap(&mut state.batch, batch);
        state.is_full = false;
        self.queue.changed.notify_all();
        Ok(())
    }

    /// Waits while this is so, at most for a time. A stop is an error if it is still so.
    fn wait_while(
        &self,
        state: &mut MutexGuard<'_, QueueState>,
        max_wait: Duration,
        condition: impl Fn(&QueueState) -> bool,
    ) -> Result<(), Error> {
        let mut left = max_wait;
        while condition(state) && !left.is_zero() {
            self.stop.check()?;
            let wait = self.stop.look_after().map_or(left, |step| left.min(step));
            self.queue.changed.wait_while_for(state, |state| condition(state), wait);
            left -= wait;
        }
        Ok(())
    }
}

impl Drop for QueueReader<'_> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(PartitionQueue::close);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::error::ErrorKind;
    use crate::stop::StopHandle;

    fn row(id: u64) -> Batch {
        let mut row = Batch::new();
        row.push(&serde_json::json!({ "ID": id })).unwrap();
        row
    }

    fn push(queue: &PartitionQueue, id: u64) {
        queue.push(RowOffset { position: id, ..RowOffset::default() }, &row(id));
    }

    fn taken(reader: &QueueReader<'_>, max_wait: Duration) -> String {
        let mut batch = Batch::new();
        reader.take(&mut batch, max_wait).unwrap();
        String::from_utf8(batch.piece().text().to_vec()).unwrap()
    }

    #[test]
    fn rows_that_wait_are_taken_when_no_more_come_in_time() {
        let queue = PartitionQueue::new(1000);
        let reader = queue.reader(&Stop::default());
        push(&queue, 1);
        push(&queue, 2);
        assert_eq!(taken(&reader, Duration::ZERO), "{\"ID\":1}\n{\"ID\":2}\n");
        queue.close();
        assert_eq!(taken(&reader, Duration::MAX), "");
    }

    #[test]
    fn a_full_queue_is_taken_at_once_and_holds_up_the_partitioner_until_then() {
        let queue = PartitionQueue::new(20);
        let reader = queue.reader(&Stop::default());
        thread::scope(|scope| {
            scope.spawn(|| {
                let _closing = CloseOnDrop(std::slice::from_ref(&queue));
                (1..=5).for_each(|id| push(&queue, id));
            });
            assert_eq!(taken(&reader, Duration::MAX), "{\"ID\":1}\n{\"ID\":2}\n");
            assert_eq!(taken(&reader, Duration::MAX), "{\"ID\":3}\n{\"ID\":4}\n");
            assert_eq!(taken(&reader, Duration::MAX), "{\"ID\":5}\n");
            assert_eq!(taken(&reader, Duration::MAX), "");
        });
    }

    #[test]
    fn a_longer_row_than_the_limit_goes_alone() {
        let queue = PartitionQueue::new(5);
        let reader = queue.reader(&Stop::default());
        thread::scope(|scope| {
            scope.spawn(|| (1..=2).for_each(|id| push(&queue, id)));
            assert_eq!(taken(&reader, Duration::MAX), "{\"ID\":1}\n");
            assert_eq!(taken(&reader, Duration::MAX), "{\"ID\":2}\n");
        });
    }

    #[test]
    fn the_reader_waits_for_the_rows_that_are_committed_already_or_for_their_failure() {
        let queues = [(); 2].map(|()| PartitionQueue::new(1000));
        thread::scope(|scope| {
            let skipped =
                queues.each_ref().map(|queue| scope.spawn(|| queue.reader(&Stop::default()).skip_committed()));
            queues[0].set_skipped(7);
            queues[1].fail(Error::new(ErrorKind::Conflict, "no such row"));
            let [found, failed] = skipped.map(|thread| thread.join().unwrap());
            assert_eq!(found.unwrap(), 7);
            assert_eq!(failed.unwrap_err().to_string(), "no such row");
        });
    }

    #[test]
    fn a_stop_ends_every_wait_for_rows() {
        let (handle, queue) = (StopHandle::new(), PartitionQueue::new(1000));
        let reader = queue.reader(&Stop::by(&handle));
        push(&queue, 1);
        thread::scope(|scope| {
            scope.spawn(|| handle.stop());
            let ends = [reader.skip_committed().map(drop), reader.take(&mut Batch::new(), Duration::MAX)];
            assert!(ends.into_iter().all(|end| end.unwrap_err().kind() == ErrorKind::Stopped));
        });
        queue.close();
        assert_eq!(taken(&reader, Duration::MAX), "{\"ID\":1}\n", "nothing has to be waited for");
        assert_eq!(taken(&reader, Duration::MAX), "", "the source has ended, which no stop changes");
    }

    #[test]
    fn a_queue_whose_reader_is_gone_holds_up_no_partitioner() {
        let queue = PartitionQueue::new(5);
        drop(queue.reader(&Stop::default()));
        push(&queue, 1);
        push(&queue, 2);
        assert!(queue.is_closed());
        assert_eq!(taken(&queue.reader(&Stop::default()), Duration::MAX), "", "a closed queue takes nothing in");
    }
}
