use std::collections::VecDeque;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::stop::{Stop, stopped};

/// Reads on a thread of its own what may block forever, so that whoever waits for it can leave.
///
/// No other thread of this library may outlive the call that has started it. It ends with its read.
pub(super) struct DetachedReader {
    /// Until the first read, which starts the thread.
    input: Option<Box<dyn Read + Send>>,
    thread: Option<JoinHandle<()>>,
    handover: Arc<Handover>,
    chunk: Cursor<Vec<u8>>,
}

/// Between the thread and whoever waits for it: a few chunks of bytes.
#[derive(Default)]
pub(super) struct Handover {
    state: Mutex<HandoverState>,
    changed: Condvar,
}

#[derive(Default)]
struct HandoverState {
    chunks: VecDeque<io::Result<Vec<u8>>>,
    has_ended: bool,
    /// Nobody waits any more.
    is_left: bool,
    stop: Stop,
}

/// Leaves when it is dropped, also by a panic, so that no load waits for a read that it has no use for.
pub(super) struct LeaveOnDrop(pub(super) Option<Arc<Handover>>);

/// Tells of the end of the thread when it is dropped, also by a panic of the input.
struct EndOnDrop<'h>(&'h Handover);

impl DetachedReader {
    pub(super) fn new(input: impl Read + Send + 'static) -> DetachedReader {
        let (handover, chunk) = Default::default();
        DetachedReader { input: Some(Box::new(input)), thread: None, handover, chunk }
    }

    /// By which the reading can be left from another thread.
    pub(super) fn handover(&self) -> Arc<Handover> {
        Arc::clone(&self.handover)
    }

    fn start(&mut self) -> io::Result<()> {
        let Some(input) = self.input.take() else { return Ok(()) };
        let handover = self.handover();
        let thread = thread::Builder::new().name(THREAD_NAME.into()).spawn(move || handover.read_all(input))?;
        self.thread = Some(thread);
        Ok(())
    }
}

impl Read for DetachedReader {
    /// A stop is an error of ours inside that of the reading, and so is that nobody waits any more.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.start()?;
        if self.chunk.position() == self.chunk.get_ref().len() as u64 {
            match self.handover.take()? {
                Some(chunk) => self.chunk = Cursor::new(chunk),
                None => {
                    // A panic of the input goes on here.
                    let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
                    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    return Ok(0);
                }
            }
        }
        self.chunk.read(into)
    }
}

impl Drop for DetachedReader {
    fn drop(&mut self) {
        self.handover.leave();
    }
}

impl Handover {
    /// From now on a stop ends the waiting.
    pub(super) fn end_at(&self, stop: &Stop) {
        self.state.lock().stop = stop.clone();
    }

    pub(super) fn leave(&self) {
        self.state.lock().is_left = true;
        self.changed.notify_all();
    }

    fn read_all(&self, mut input: Box<dyn Read + Send>) {
        let (_ending, mut buffer) = (EndOnDrop(self), vec![0; CHUNK]);
        loop {
            let read = match input.read(&mut buffer) {
                Ok(0) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read,
            };
            let is_last = read.is_err();
            if !self.put(read.map(|length| buffer[..length].to_vec())) || is_last {
                return;
            }
        }
    }

    /// Waits for room. False if nobody waits any more.
    fn put(&self, chunk: io::Result<Vec<u8>>) -> bool {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.chunks.len() >= MAX_CHUNKS && !state.is_left);
        state.chunks.push_back(chunk);
        self.changed.notify_all();
        !state.is_left
    }

    /// Waits for the next chunk; none at the end. A stop counts only if there is something to wait for.
    fn take(&self) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.state.lock();
        loop {
            if state.is_left {
                return Err(io::Error::other(stopped("its load has ended")));
            }
            if let Some(chunk) = state.chunks.pop_front() {
                self.changed.notify_all();
                return chunk.map(Some);
            }
            if state.has_ended {
                return Ok(None);
            }
            state.stop.check().map_err(io::Error::other)?;
            match state.stop.look_after() {
                Some(step) => drop(self.changed.wait_for(&mut state, step)),
                None => self.changed.wait(&mut state),
            }
        }
    }
}

impl Drop for LeaveOnDrop {
    fn drop(&mut self) {
        self.0.iter().for_each(|handover| handover.leave());
    }
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state.lock().has_ended = true;
        self.0.changed.notify_all();
    }
}

/// Linux shows fifteen characters of it.
const THREAD_NAME: &str = "snowpipe-source";

/// As much as a pipe holds by default.
const CHUNK: usize = 64 * 1024;

/// So many keep both threads busy.
const MAX_CHUNKS: usize = 4;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::stop::StopHandle;

    fn kind_of(error: io::Error) -> ErrorKind {
        error.downcast::<Error>().unwrap().kind()
    }

    #[test]
    fn the_bytes_come_in_order_and_end() {
        let text: Vec<u8> = (0..3 * MAX_CHUNKS * CHUNK + 7).map(|index| (index % 251) as u8).collect();
        let (mut reader, mut read) = (DetachedReader::new(Cursor::new(text.clone())), Vec::new());
        reader.read_to_end(&mut read).unwrap();
        assert!(read == text);
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn what_is_there_is_read_after_a_stop_and_nothing_is_waited_for() {
        let (input, mut output) = io::pipe().unwrap();
        let (handle, mut reader, mut byte) = (StopHandle::new(), DetachedReader::new(input), [0]);
        reader.handover().end_at(&Stop::by(&handle));
        output.write_all(b"a").unwrap();
        assert_eq!(reader.read(&mut byte).unwrap(), 1);
        thread::scope(|scope| {
            scope.spawn(|| handle.stop());
            assert_eq!(kind_of(reader.read(&mut byte).unwrap_err()), ErrorKind::Stopped);
        });
    }

    #[test]
    fn a_reading_that_is_left_ends_at_once_and_its_thread_with_the_next_read() {
        /// Tells when the thread has let it go.
        struct Told(io::PipeReader, std::sync::mpsc::Sender<()>);

        impl Read for Told {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.1.send(()).unwrap();
                self.0.read(into)
            }
        }

        let (input, mut output) = io::pipe().unwrap();
        let (sender, reads) = channel();
        let mut reader = DetachedReader::new(Told(input, sender));
        let leaving = LeaveOnDrop(Some(reader.handover()));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| reader.read(&mut [0]).unwrap_err());
            reads.recv().unwrap();
            drop(leaving);
            assert_eq!(kind_of(waiting.join().unwrap()), ErrorKind::Stopped);
        });
        output.write_all(b"a").unwrap();
        assert!(reads.recv().is_err(), "nothing is read after that, and the input is dropped");
    }

    #[test]
    fn a_thread_that_has_read_ahead_ends_when_its_reader_is_dropped() {
        struct Endless(#[expect(dead_code, reason = "dropped with the thread")] std::sync::mpsc::Sender<()>);

        impl Read for Endless {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                Ok(into.len())
            }
        }

        let (sender, ended) = channel();
        let mut reader = DetachedReader::new(Endless(sender));
        assert_eq!(reader.read(&mut [0; 3]).unwrap(), 3);
        drop(reader);
        assert!(ended.recv().is_err());
    }

    #[test]
    fn a_failure_and_a_panic_are_handed_over() {
        struct Failing(u32);

        impl Read for Failing {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    2 => Ok(into.len().min(2)),
                    3 => Err(io::Error::other("cable pulled")),
                    _ => unreachable!("read after its failure"),
                }
            }
        }

        let mut reader = DetachedReader::new(Failing(0));
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 2);
        assert_eq!(reader.read(&mut [0; 9]).unwrap_err().to_string(), "cable pulled");
        let mut reader = DetachedReader::new(Failing(3));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.read(&mut [0; 9]))).unwrap_err();
        assert!(panic.downcast_ref::<&str>().unwrap().ends_with("read after its failure"));
    }
}
