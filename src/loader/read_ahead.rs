use std::mem;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::feed::Feed;
use super::run::{conclude, fill};
use super::sink::{Packed, Sink};
use crate::error::Error;
use crate::pipe::Pipe;
use crate::rows::{Batch, Compressor};

/// Reads and checks rows on a second thread while this one compresses and sends; the thread ends before the call returns.
///
/// When this thread falls behind, the other compresses too. As without it, what the source could not give is handed back as
/// its error.
pub(super) fn send_all(
    feed: &mut Feed<'_>,
    sink: &mut Sink<'_>,
    batch_bytes: usize,
    pipe: &Pipe,
) -> Result<Option<Error>, Error> {
    let (stop, batch_bytes) = (AtomicBool::new(false), batch_bytes.min(MAX_BATCH_BYTES));
    thread::scope(|scope| {
        let (hand_over, handed) = sync_channel(QUEUED);
        let (emptied, spare) = channel();
        scope.spawn(|| read_all(|batch| fill(feed, batch, batch_bytes, pipe), &stop, spare, hand_over));
        for _ in 0..BATCHES {
            let _ = emptied.send(Batch::new());
        }
        let end = send_each(sink, &handed, &emptied);
        stop.store(true, Ordering::Relaxed);
        drop(emptied);
        if end.is_err() && sink.retains() {
            // What the other thread has read cannot be read again.
            for Handed { rows, .. } in handed {
                match rows {
                    Rows::Plain(batch) => sink.keep(&batch),
                    Rows::Packed(packed) => sink.keep_packed(packed),
                }
            }
        }
        end
    })
}

/// What the reading thread has made of the source.
struct Handed {
    rows: Rows,
    filled: Result<(), Error>,
}

enum Rows {
    Plain(Batch),
    Packed(Packed),
}

fn send_each(sink: &mut Sink<'_>, handed: &Receiver<Handed>, emptied: &Sender<Batch>) -> Result<Option<Error>, Error> {
    for Handed { rows, filled } in handed {
        let end = match rows {
            Rows::Packed(packed) => conclude(sink.send_packed(packed), filled, false)?,
            Rows::Plain(batch) => {
                let end = conclude(sink.send(&batch), filled, batch.is_empty())?;
                // Nobody takes it when the source has ended.
                let _ = emptied.send(batch);
                end
            }
        };
        if let ControlFlow::Break(source_failure) = end {
            return Ok(source_failure);
        }
    }
    Ok(None)
}

fn read_all(
    mut fill: impl FnMut(&mut Batch) -> Result<(), Error>,
    stop: &AtomicBool,
    spare: Receiver<Batch>,
    hand_over: SyncSender<Handed>,
) {
    let (mut batch, mut compressor) = (Batch::new(), Compressor::default());
    while !stop.load(Ordering::Relaxed) {
        batch.clear();
        let filled = fill(&mut batch);
        let mut is_last = filled.is_err() || batch.is_empty();
        let rows = match spare.try_recv() {
            Ok(free) => Rows::Plain(mem::replace(&mut batch, free)),
            Err(_) if is_last => Rows::Plain(mem::take(&mut batch)),
            // The other thread still has all batches but this one.
            Err(_) => {
                let packed = Packed::of(&batch, &mut compressor);
                is_last = !packed.is_whole();
                Rows::Packed(packed)
            }
        };
        if hand_over.send(Handed { rows, filled }).is_err() || is_last {
            return;
        }
    }
}

/// Beside the one that is being filled: one in the hands of the other thread, and one that waits for it.
const BATCHES: usize = 2;

/// Three of them take little more memory than one batch without a second thread, and even small steps keep both busy.
const MAX_BATCH_BYTES: usize = Batch::FULL_BYTES / 2;

/// What waits must not hold up the reading thread, which may hand over packed rows without a batch.
const QUEUED: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of these rows, one each, then an empty one; and with so many free batches what becomes of them.
    fn read(rows: &[&str], free: usize) -> Vec<Handed> {
        let mut rows = rows.iter();
        let (emptied, spare) = channel();
        (0..free).for_each(|_| emptied.send(Batch::new()).unwrap());
        let (hand_over, handed) = sync_channel(10);
        let fill = |batch: &mut Batch| rows.next().map_or(Ok(()), |row| batch.push_json(row.as_bytes()));
        read_all(fill, &AtomicBool::new(false), spare, hand_over);
        handed.into_iter().collect()
    }

    fn told(handed: &[Handed]) -> Vec<&str> {
        let one = |handed: &Handed| match &handed.rows {
            Rows::Plain(batch) if batch.is_empty() => "the end",
            Rows::Plain(_) => "plain",
            Rows::Packed(packed) if packed.is_whole() => "packed",
            Rows::Packed(_) => "packed in part",
        };
        handed.iter().map(one).collect()
    }

    #[test]
    fn rows_are_packed_here_when_the_other_thread_has_enough_to_do() {
        let rows = ["{\"A\":1}", "{\"A\":2}", "{\"A\":3}", "{\"A\":4}"];
        assert_eq!(told(&read(&rows, 2)), ["plain", "plain", "packed", "packed", "the end"]);
        assert_eq!(told(&read(&rows, 9)), ["plain", "plain", "plain", "plain", "the end"]);
        assert_eq!(told(&read(&[], 0)), ["the end"]);
    }

    #[test]
    fn after_a_row_that_no_request_can_carry_nothing_is_read() {
        // So long that it is refused without compression, and so varied that it is with it.
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(6_000_000).collect();
        let handed = read(&["{\"A\":1}", &format!("{{\"A\":\"{noise}\"}}"), "{\"A\":3}"], 0);
        assert_eq!(told(&handed), ["packed", "packed in part"]);
    }

    #[test]
    fn a_row_that_cannot_be_read_ends_it_with_what_was_read_before() {
        let handed = read(&["{\"A\":1}", "no row", "{\"A\":3}"], 0);
        assert_eq!(told(&handed), ["packed", "the end"]);
        assert!(handed[1].filled.is_err());
    }

    #[test]
    fn nothing_is_read_when_it_is_to_stop() {
        let (hand_over, handed) = sync_channel(1);
        read_all(|_| unreachable!("nothing is wanted"), &AtomicBool::new(true), channel().1, hand_over);
        assert_eq!(handed.into_iter().count(), 0);
    }
}
