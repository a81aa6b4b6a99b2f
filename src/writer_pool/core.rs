use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::progress::{ChannelProgress, ChannelStage, Standing};
use super::report::PoolReport;
use super::row_queue::{Course, QueueView, RowQueue};
use super::signal::Signal;
use crate::clock::{Clock, Deadline, FOREVER};
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::stop::StopHandle;

/// What the producers, the threads of the channels and the pool itself share.
pub(super) struct PoolCore {
    /// Its calls end with the pool.
    pub(super) pipe: Pipe,
    end: StopHandle,
    /// As it was given.
    pub(super) name: String,
    pub(super) queues: Vec<RowQueue>,
    /// Something has changed that a producer or the pool may wait for.
    pub(super) signal: Signal,
    /// How long a row waits for room.
    pub(super) write_timeout: Duration,
    next_handle: AtomicUsize,
}

impl PoolCore {
    pub(super) fn new(pipe: &Pipe, name: String, queues: Vec<RowQueue>, write_timeout: Duration) -> PoolCore {
        let (end, signal, next_handle) = (StopHandle::new(), Signal::default(), AtomicUsize::default());
        PoolCore { pipe: pipe.also_stopped_by(&end), end, name, queues, signal, write_timeout, next_handle }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.pipe.clock()
    }

    /// The queue with which a new handle begins: each with another one.
    pub(super) fn first_queue_of_next_handle(&self) -> usize {
        self.next_handle.fetch_add(1, Ordering::Relaxed) % self.queues.len()
    }

    /// No queue takes in any more rows.
    pub(super) fn refuse(&self, reason: &Error) {
        self.queues.iter().for_each(|queue| queue.refuse(reason));
        self.signal.notify();
    }

    /// The threads send everything, and end when it is committed.
    pub(super) fn finish(&self) {
        self.queues.iter().for_each(|queue| queue.set_course(Course::Finish));
    }

    /// The threads end, after the requests in progress.
    pub(super) fn abandon(&self) {
        self.end.stop();
        self.queues.iter().for_each(|queue| queue.set_course(Course::Abandon));
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.end.is_stopped()
    }

    pub(super) fn set_progress(&self, index: usize, progress: ChannelProgress) {
        if let Some(queue) = self.queues.get(index) {
            queue.set_progress(progress);
        }
        self.signal.notify();
    }

    /// Waits until all channels are open, or returns the failure of one.
    pub(super) fn wait_until_open(&self) -> Result<(), Error> {
        let forever = self.clock().now().deadline(FOREVER);
        loop {
            let seen = self.signal.changes();
            let failure = |queue: &RowQueue| queue.look(|view| view.progress.standing.failure().cloned());
            if let Some(error) = self.queues.iter().find_map(failure) {
                return Err(error);
            }
            if self.are_all(|stage| stage != ChannelStage::Opening) {
                return Ok(());
            }
            self.signal.wait_beyond(seen, forever, self.clock());
        }
    }

    /// Waits until all threads have ended, at most until the deadline.
    pub(super) fn wait_until_ended(&self, deadline: Deadline) {
        loop {
            let seen = self.signal.changes();
            let have_ended = self.are_all(|stage| stage == ChannelStage::Ended);
            if have_ended || !self.signal.wait_beyond(seen, deadline, self.clock()) {
                return;
            }
        }
    }

    fn are_all(&self, is_so: impl Fn(ChannelStage) -> bool) -> bool {
        self.queues.iter().all(|queue| queue.look(|view| is_so(view.progress.stage)))
    }

    /// Waits until all rows that were taken in before are committed.
    pub(super) fn commit(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = self.clock().now().deadline(timeout);
        let wanted: Vec<_> = self.queues.iter().map(RowQueue::want_commits).collect();
        loop {
            let seen = self.signal.changes();
            let mut failure = None;
            let mut is_committed = true;
            for (queue, rows) in self.queues.iter().zip(&wanted) {
                match queue.look(|view| outlook(view, *rows)) {
                    Outlook::Committed => {}
                    Outlook::Hopeless(error) => return Err(self.not_committed(error)),
                    Outlook::Open(error) => {
                        is_committed = false;
                        failure = failure.or(error);
                    }
                }
            }
            if is_committed {
                return Ok(());
            }
            if !self.signal.wait_beyond(seen, deadline, self.clock()) {
                return Err(self.not_committed(failure.map_or_else(|| overdue(timeout), Error::retryable)));
            }
        }
    }

    fn not_committed(&self, error: Error) -> Error {
        error.attempting(format!("confirm the commit of all rows of writer pool {}", self.name))
    }

    pub(super) fn report(&self) -> PoolReport {
        let mut report = PoolReport::default();
        self.queues.iter().for_each(|queue| queue.look(|view| report.add(view)));
        report
    }
}

/// Whether rows will be committed.
enum Outlook {
    Committed,
    /// Not yet, for this reason if there is one.
    Open(Option<Error>),
    /// Not before somebody has done something.
    Hopeless(Error),
}

fn outlook(view: &QueueView<'_>, rows: u64) -> Outlook {
    let progress = view.progress;
    if progress.rows_committed >= rows {
        return Outlook::Committed;
    }
    match (&progress.standing, progress.stage) {
        (_, ChannelStage::Ended) => Outlook::Hopeless(view.refusal.cloned().unwrap_or_else(closed)),
        (Standing::Hindered(error), _) => Outlook::Hopeless(error.clone()),
        (standing, _) => Outlook::Open(standing.failure().cloned()),
    }
}

/// For whoever has a handle of a pool that is closed.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Stopped, "the writer pool was closed")
        .not_retryable()
        .advise("start another one for more rows")
}

fn overdue(timeout: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("not all of them are committed after {timeout:?}"))
        .advise("call it again: nothing is lost")
}
