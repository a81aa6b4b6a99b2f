use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::feed::Feed;
use super::run::{fill, send_filled};
use super::sink::Sink;
use crate::error::Error;
use crate::pipe::Pipe;
use crate::rows::Batch;

/// Reads and checks rows on a second thread while this one compresses and sends; the thread ends before the call returns.
///
/// As without it: what the source could not give is handed back as its error.
pub(super) fn send_all(
    feed: &mut Feed<'_>,
    sink: &mut Sink<'_>,
    batch_bytes: usize,
    pipe: &Pipe,
) -> Result<Option<Error>, Error> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (filled, batches) = sync_channel(1);
        let (emptied, spare) = channel();
        scope.spawn(|| fill_all(|batch| fill(feed, batch, batch_bytes, pipe), &stop, spare, filled));
        // One is filled while the other is sent.
        for _ in 0..2 {
            let _ = emptied.send(Batch::new());
        }
        let end = send_each(sink, &batches, &emptied);
        stop.store(true, Ordering::Relaxed);
        drop(emptied);
        if end.is_err() && sink.retains() {
            // What the other thread has read cannot be read again.
            for (batch, _) in batches {
                sink.keep(&batch);
            }
        }
        end
    })
}

type Filled = (Batch, Result<(), Error>);

fn send_each(sink: &mut Sink<'_>, batches: &Receiver<Filled>, emptied: &Sender<Batch>) -> Result<Option<Error>, Error> {
    for (batch, filled) in batches {
        if let ControlFlow::Break(source_failure) = send_filled(sink, &batch, filled)? {
            return Ok(source_failure);
        }
        // Nobody takes it when the source has ended.
        let _ = emptied.send(batch);
    }
    Ok(None)
}

fn fill_all(
    mut fill: impl FnMut(&mut Batch) -> Result<(), Error>,
    stop: &AtomicBool,
    spare: Receiver<Batch>,
    filled: SyncSender<Filled>,
) {
    for mut batch in spare {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        batch.clear();
        let result = fill(&mut batch);
        let is_last = result.is_err() || batch.is_empty();
        if filled.send((batch, result)).is_err() || is_last {
            return;
        }
    }
}
