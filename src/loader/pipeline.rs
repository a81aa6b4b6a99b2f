use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::batch_reader::ReadOutcome;
use crate::rows::{Batch, Compressed, Compressor};

/// Reads batches on a second thread while `consume` takes them on this one; the thread ends before this returns.
///
/// When this thread falls behind, the other compresses, too.
pub(super) fn read_ahead<T>(
    read: impl FnMut(&mut Batch) -> ReadOutcome + Send,
    consume: impl FnOnce(&mut ReadAhead<'_>) -> T,
) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (sender, ready) = sync_channel(QUEUED);
        let (returned, free) = channel();
        let reading = scope.spawn(|| read_all(read, &stop, free, sender));
        for _ in 0..BATCHES {
            let _ = returned.send(Batch::new());
        }
        // Dropped by a panic, too: then the other thread finds its channels closed.
        let consumed = consume(&mut ReadAhead { ready, returned, stop: &stop });
        // A panic of the source keeps its message.
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        consumed
    })
}

/// The batches that the reading thread has read, in order.
pub(super) struct ReadAhead<'t> {
    ready: Receiver<Ready>,
    returned: Sender<Batch>,
    stop: &'t AtomicBool,
}

pub(super) struct Ready {
    pub(super) rows: ReadyRows,
    pub(super) outcome: ReadOutcome,
}

pub(super) enum ReadyRows {
    Plain(Batch),
    Compressed(Compressed),
}

impl ReadAhead<'_> {
    /// The next batch; none after the last.
    pub(super) fn next(&mut self) -> Option<Ready> {
        self.ready.recv().ok()
    }

    /// Gives a batch back to be filled again.
    pub(super) fn give_back(&mut self, batch: Batch) {
        // After its last batch the reading thread takes none back.
        let _ = self.returned.send(batch);
    }
}

impl Drop for ReadAhead<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn read_all(
    mut read: impl FnMut(&mut Batch) -> ReadOutcome,
    stop: &AtomicBool,
    free: Receiver<Batch>,
    sender: SyncSender<Ready>,
) {
    let (mut batch, mut compressor) = (Batch::new(), Compressor::default());
    while !stop.load(Ordering::Relaxed) {
        batch.clear();
        let outcome = read(&mut batch);
        let mut is_last = !matches!(outcome, ReadOutcome::Rows);
        let rows = match free.try_recv() {
            Ok(next) => ReadyRows::Plain(mem::replace(&mut batch, next)),
            Err(_) if is_last => ReadyRows::Plain(mem::take(&mut batch)),
            // The other thread still has all batches but this one.
            Err(_) => {
                let compressed = Compressed::of(&batch, &mut compressor);
                is_last = compressed.failure.is_some();
                ReadyRows::Compressed(compressed)
            }
        };
        if sender.send(Ready { rows, outcome }).is_err() || is_last {
            return;
        }
    }
}

/// Beside the one that is being filled: one that the other thread sends, and one that waits for it.
const BATCHES: usize = 2;

/// Three of them take little more memory than one batch without a second thread, and both threads have work early.
pub(super) const MAX_BATCH_BYTES: usize = Batch::FULL_BYTES / 2;

/// Compressed rows need no batch, so their number has a limit of its own.
const QUEUED: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of these rows, one each, then an empty one; and what becomes of them with this number of free batches.
    fn read(rows: &[&str], free: usize) -> Vec<Ready> {
        let mut rows = rows.iter();
        let (returned, taken) = channel();
        (0..free).for_each(|_| returned.send(Batch::new()).unwrap());
        let (sender, ready) = sync_channel(10);
        let read = |batch: &mut Batch| match rows.next().map(|row| batch.push_json(row.as_bytes())) {
            Some(Ok(())) => ReadOutcome::Rows,
            Some(Err(error)) => ReadOutcome::Failed(error),
            None => ReadOutcome::End,
        };
        read_all(read, &AtomicBool::new(false), taken, sender);
        ready.into_iter().collect()
    }

    fn described(ready: &[Ready]) -> Vec<&str> {
        let one = |ready: &Ready| match (&ready.rows, &ready.outcome) {
            (ReadyRows::Plain(_), ReadOutcome::Rows) => "plain",
            (ReadyRows::Plain(_), ReadOutcome::End) => "end",
            (ReadyRows::Plain(_), ReadOutcome::Failed(_)) => "failed",
            (ReadyRows::Compressed(compressed), _) if compressed.failure.is_none() => "compressed",
            (ReadyRows::Compressed(_), _) => "compressed in part",
        };
        ready.iter().map(one).collect()
    }

    #[test]
    fn rows_are_compressed_here_when_the_other_thread_has_enough_to_do() {
        let rows = ["{\"A\":1}", "{\"A\":2}", "{\"A\":3}", "{\"A\":4}"];
        assert_eq!(described(&read(&rows, 2)), ["plain", "plain", "compressed", "compressed", "end"]);
        assert_eq!(described(&read(&rows, 9)), ["plain", "plain", "plain", "plain", "end"]);
        assert_eq!(described(&read(&[], 0)), ["end"]);
    }

    #[test]
    fn after_a_row_that_no_request_can_carry_nothing_is_read() {
        // So long that it is refused without compression, and so varied that it is with it.
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(6_000_000).collect();
        let ready = read(&["{\"A\":1}", &format!("{{\"A\":\"{noise}\"}}"), "{\"A\":3}"], 0);
        assert_eq!(described(&ready), ["compressed", "compressed in part"]);
    }

    #[test]
    fn a_row_that_cannot_be_read_ends_it_with_what_was_read_before() {
        assert_eq!(described(&read(&["{\"A\":1}", "no row", "{\"A\":3}"], 0)), ["compressed", "failed"]);
    }

    #[test]
    fn nothing_is_read_when_it_is_to_stop() {
        let (sender, ready) = sync_channel(1);
        read_all(|_| unreachable!("nothing is wanted"), &AtomicBool::new(true), channel().1, sender);
        assert_eq!(ready.into_iter().count(), 0);
    }
}
