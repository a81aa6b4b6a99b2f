use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::progress::{ChannelProgress, Standing};
use crate::clock::{Clock, Deadline, Moment};
use crate::error::Error;
use crate::rows::Batch;

/// The rows of one channel of a pool on their way from the producers to the channel's thread, and what each side tells the
/// other.
///
/// No code of the caller's runs while it is locked.
pub(super) struct RowQueue {
    limits: QueueLimits,
    state: Mutex<QueuedRows>,
    /// There is something for the channel's thread to do.
    for_thread: Condvar,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// No more wait, a longer row excepted.
    pub(super) capacity: usize,
    /// So many are worth a request.
    pub(super) due_bytes: usize,
    pub(super) max_age: Duration,
}

#[derive(Default)]
struct QueuedRows {
    batch: Batch,
    /// When the first row of the batch came.
    oldest: Option<Moment>,
    /// A row did not fit.
    is_full: bool,
    /// Rows that were ever taken in.
    rows: u64,
    bytes: u64,
    /// Somebody waits until so many rows are committed.
    wanted: u64,
    /// Why no more rows are taken in.
    refusal: Option<Error>,
    course: Course,
    progress: ChannelProgress,
}

/// What a channel's thread is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Course {
    #[default]
    GoOn,
    /// Send everything, wait until it is committed, end.
    Finish,
    /// End.
    Abandon,
}

/// What became of a row that was offered.
pub(super) enum Put {
    Taken,
    /// There is no room; with the failure that holds the channel up, if there is one.
    Full(Option<Error>),
    /// The channel goes on only when somebody has removed this cause.
    Hindered(Error),
    /// No row is taken in any more.
    Refused(Error),
}

/// When a channel's thread has something to do, beside packing rows.
#[derive(Debug)]
pub(super) struct Plan {
    /// It can keep more rows.
    pub(super) has_memory: bool,
    /// Nothing is left to be sent or committed of what it has taken.
    pub(super) is_done: bool,
    /// It knows that it is to finish.
    pub(super) is_finishing: bool,
    /// When to send or look again if somebody waits for it, and if nobody does.
    pub(super) urgent: Option<Deadline>,
    pub(super) idle: Option<Deadline>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// The batch has rows.
    Pack,
    /// It is time to send or to look.
    Attempt,
    /// The pool is being closed.
    Finish,
    End,
}

impl RowQueue {
    pub(super) fn new(limits: QueueLimits) -> RowQueue {
        RowQueue { limits, state: Mutex::default(), for_thread: Condvar::new() }
    }

    /// Offers the only row of a batch.
    pub(super) fn put(&self, row: &Batch, clock: &dyn Clock) -> Put {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(error) = &state.refusal {
            return Put::Refused(error.clone());
        }
        let cause = match &state.progress.standing {
            Standing::Hindered(error) => return Put::Hindered(error.clone()),
            Standing::Retrying(error) => Some(error),
            Standing::Working => None,
        };
        let is_first = state.batch.is_empty();
        if !is_first && state.batch.bytes() + row.bytes() > self.limits.capacity {
            state.is_full = true;
            self.for_thread.notify_one();
            return Put::Full(cause.cloned());
        }
        let was_due = state.batch.bytes() >= self.limits.due_bytes;
        state.batch.push_all(row);
        state.rows += row.rows() as u64;
        state.bytes += row.bytes() as u64;
        if is_first {
            state.oldest = Some(clock.now());
        }
        if is_first || !was_due && state.batch.bytes() >= self.limits.due_bytes {
            self.for_thread.notify_one();
        }
        Put::Taken
    }

    /// Asks for the commit of all rows so far, and returns their number.
    pub(super) fn want_commits(&self) -> u64 {
        let mut state = self.state.lock();
        state.wanted = state.rows;
        self.for_thread.notify_one();
        state.rows
    }

    /// Takes no more rows in; an earlier reason stays.
    pub(super) fn refuse(&self, reason: &Error) {
        self.state.lock().refusal.get_or_insert_with(|| reason.clone());
    }

    pub(super) fn set_course(&self, course: Course) {
        self.state.lock().course = course;
        self.for_thread.notify_one();
    }

    /// Waits until the thread has something to do. Rows are exchanged for the empty batch.
    pub(super) fn next_work(&self, batch: &mut Batch, plan: &Plan, clock: &dyn Clock) -> Work {
        let mut state = self.state.lock();
        loop {
            let now = clock.now();
            if state.course == Course::Abandon {
                return Work::End;
            }
            if state.course == Course::Finish && !plan.is_finishing {
                return Work::Finish;
            }
            let attempt = if state.is_awaited(plan) { plan.urgent } else { plan.idle };
            if attempt.is_some_and(|attempt| attempt.is_reached(now)) {
                return Work::Attempt;
            }
            if plan.has_memory && self.is_due(&state, now) {
                state.hand_over(batch);
                return Work::Pack;
            }
            if state.course == Course::Finish && plan.is_done && state.batch.is_empty() {
                return Work::End;
            }
            let age = state.oldest.filter(|_| plan.has_memory).map(|oldest| oldest.deadline(self.limits.max_age));
            self.wait(&mut state, attempt.into_iter().chain(age).min(), now);
        }
    }

    fn wait(&self, state: &mut MutexGuard<'_, QueuedRows>, until: Option<Deadline>, now: Moment) {
        match until {
            Some(deadline) => drop(self.for_thread.wait_for(state, deadline.left(now))),
            None => self.for_thread.wait(state),
        }
    }

    fn is_due(&self, state: &QueuedRows, now: Moment) -> bool {
        let is_old = state.oldest.is_some_and(|oldest| now.since(oldest) >= self.limits.max_age);
        let is_full = state.is_full || state.batch.bytes() >= self.limits.due_bytes;
        !state.batch.is_empty() && (is_old || is_full || state.is_wanted() || state.course == Course::Finish)
    }

    /// Takes out what is left, for a thread that ends; nothing more is taken in.
    pub(super) fn take_rest(&self) -> Batch {
        let mut state = self.state.lock();
        state.oldest = None;
        std::mem::take(&mut state.batch)
    }

    pub(super) fn set_progress(&self, progress: ChannelProgress) {
        self.state.lock().progress = progress;
    }

    /// Looks at what is in the queue and what the thread has done.
    pub(super) fn look<T>(&self, read: impl FnOnce(&QueueView<'_>) -> T) -> T {
        let state = self.state.lock();
        read(&QueueView {
            rows: state.rows,
            bytes: state.bytes,
            memory: state.batch.bytes(),
            refusal: state.refusal.as_ref(),
            progress: &state.progress,
        })
    }
}

/// What there is to see of a queue.
pub(super) struct QueueView<'q> {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// What the rows in the queue take.
    pub(super) memory: usize,
    pub(super) refusal: Option<&'q Error>,
    pub(super) progress: &'q ChannelProgress,
}

impl QueuedRows {
    /// Somebody waits for rows that are still in the batch.
    fn is_wanted(&self) -> bool {
        self.wanted + self.batch.rows() as u64 > self.rows
    }

    /// Somebody waits for what the thread is to do next.
    fn is_awaited(&self, plan: &Plan) -> bool {
        !plan.has_memory || self.course == Course::Finish || self.wanted > self.progress.rows_committed
    }

    fn hand_over(&mut self, batch: &mut Batch) {
        std::mem::swap(&mut self.batch, batch);
        (self.oldest, self.is_full) = (None, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::error::ErrorKind;

    /// Room for two rows of ten bytes; due with the second.
    fn queue(max_age: Duration) -> RowQueue {
        RowQueue::new(QueueLimits { capacity: 25, due_bytes: 20, max_age })
    }

    fn row() -> Batch {
        let mut row = Batch::new();
        row.push_json(b"{\"ID\":123}").unwrap();
        assert_eq!(row.bytes(), 11);
        row
    }

    fn put(queue: &RowQueue) -> Put {
        queue.put(&row(), &SystemClock)
    }

    fn plan() -> Plan {
        Plan { has_memory: true, is_done: true, is_finishing: false, urgent: None, idle: None }
    }

    fn next(queue: &RowQueue, plan: &Plan) -> (Work, usize) {
        let mut batch = Batch::new();
        let work = queue.next_work(&mut batch, plan, &SystemClock);
        (work, batch.rows())
    }

    #[test]
    fn a_queue_takes_rows_up_to_its_capacity_and_one_longer_row_alone() {
        let queue = queue(Duration::MAX);
        assert!(matches!(put(&queue), Put::Taken));
        assert!(matches!(put(&queue), Put::Taken));
        assert!(matches!(put(&queue), Put::Full(None)));
        assert_eq!(next(&queue, &plan()), (Work::Pack, 2));
        let mut long = Batch::new();
        long.push_json(&[b"{\"A\":1", &[b' '; 100][..], b"}"].concat()).unwrap();
        assert!(matches!(queue.put(&long, &SystemClock), Put::Taken));
        assert!(matches!(put(&queue), Put::Full(None)));
        assert_eq!(next(&queue, &plan()), (Work::Pack, 1));
    }

    #[test]
    fn rows_are_handed_over_when_they_are_enough_or_old_or_somebody_waits_for_their_commit() {
        let full = queue(Duration::MAX);
        put(&full);
        put(&full);
        let old = queue(Duration::ZERO);
        put(&old);
        let wanted = queue(Duration::MAX);
        put(&wanted);
        assert_eq!(wanted.want_commits(), 1);
        assert_eq!([full, old, wanted].map(|queue| next(&queue, &plan()).1), [2, 1, 1]);
    }

    #[test]
    fn a_failing_channel_takes_rows_while_it_tries_by_itself_and_none_while_a_person_has_to_come() {
        let queue = queue(Duration::MAX);
        let stand = |kind| {
            let standing = Standing::after(Error::new(kind, "it failed"));
            queue.set_progress(ChannelProgress { standing, ..ChannelProgress::default() });
        };
        stand(ErrorKind::Refused);
        assert!(matches!(put(&queue), Put::Hindered(error) if error.kind() == ErrorKind::Refused));
        stand(ErrorKind::Unavailable);
        assert!(matches!((put(&queue), put(&queue)), (Put::Taken, Put::Taken)));
        assert!(matches!(put(&queue), Put::Full(Some(error)) if error.kind() == ErrorKind::Unavailable));
        queue.refuse(&Error::new(ErrorKind::Conflict, "first"));
        queue.refuse(&Error::new(ErrorKind::Stopped, "second"));
        assert!(matches!(put(&queue), Put::Refused(error) if error.to_string() == "first"));
    }

    #[test]
    fn a_thread_that_pauses_or_has_no_memory_learns_at_once_that_the_pool_ends() {
        let queue = queue(Duration::ZERO);
        put(&queue);
        let far = SystemClock.now().deadline(Duration::from_secs(3600));
        let pausing = Plan { has_memory: false, is_done: false, urgent: Some(far), idle: Some(far), ..plan() };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| next(&queue, &pausing));
            queue.set_course(Course::Finish);
            assert_eq!(waiting.join().unwrap(), (Work::Finish, 0));
        });
        let pausing = Plan { is_finishing: true, ..pausing };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| next(&queue, &pausing));
            queue.set_course(Course::Abandon);
            assert_eq!(waiting.join().unwrap(), (Work::End, 0));
        });
    }

    #[test]
    fn looks_come_sooner_while_somebody_waits() {
        let now = SystemClock.now();
        let (urgent, idle) = (now.deadline(Duration::ZERO), now.deadline(Duration::from_secs(3600)));
        let plan = Plan { is_done: false, urgent: Some(urgent), idle: Some(idle), ..plan() };
        let queue = queue(Duration::MAX);
        put(&queue);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| next(&queue, &plan));
            queue.want_commits();
            assert_eq!(waiting.join().unwrap(), (Work::Attempt, 0));
        });
    }

    #[test]
    fn a_thread_that_finishes_ends_when_nothing_is_left() {
        let queue = queue(Duration::MAX);
        put(&queue);
        queue.set_course(Course::Finish);
        let plan = Plan { is_finishing: true, ..plan() };
        assert_eq!(next(&queue, &plan), (Work::Pack, 1));
        assert_eq!(next(&queue, &plan), (Work::End, 0));
    }
}
