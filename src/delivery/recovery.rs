//! What a delivery does when its channel is lost, or may be.

use std::time::Duration;

use super::Delivery;
use crate::channel::{Channel, Uncommitted, Wait, needs_reopening};
use crate::error::{Error, ErrorKind, one_line};

/// How much one call may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effort {
    /// Waits for commits, and before each reopening of a channel that is lost again and again.
    Waiting,
    /// Waits for nothing, and may reopen the channel once.
    Brief,
    /// The same, and has reopened it.
    Spent,
}

impl Delivery {
    /// What the calls from now on may do.
    pub(crate) fn set_effort(&mut self, effort: Effort) {
        self.effort = effort;
    }

    /// Reopens the channel after `Channel` or `Unconfirmed`, takes its committed offset as authoritative and requeues the
    /// bodies behind it. After `Timeout`, when no commit came, it does so only if nothing is on its way any more. A status that
    /// reports an offset of another writer proves nothing: it may lag.
    ///
    /// Returns the cause if it is of another kind. Gives up after several reopenings without progress.
    pub(crate) fn recover(&mut self, cause: Error) -> Result<(), Error> {
        self.check_ended()?;
        match cause.kind() {
            _ if self.effort == Effort::Spent => Err(self.put_off(cause)),
            ErrorKind::Timeout => self.recover_overdue(cause),
            _ if needs_reopening(&cause) => self.recover_lost(cause),
            _ => Err(cause),
        }
    }

    /// The next call reopens the channel, and has to know why.
    fn put_off(&mut self, cause: Error) -> Error {
        if !needs_reopening(&cause) {
            return cause;
        }
        let cause = self.unresolved.get_or_insert(cause).clone();
        if cause.kind() == ErrorKind::Unconfirmed { self.failed_again(cause) } else { cause }
    }

    /// The call of the caller's is over: the next one tries again as often, however long an outage lasts.
    pub(crate) fn end_call(&mut self) {
        self.setbacks.forget_outages();
    }

    fn recover_lost(&mut self, cause: Error) -> Result<(), Error> {
        // After a recovery that failed, the channel says no more than that it is lost.
        let cause = self.unresolved.take().unwrap_or(cause);
        let timeout = self.commit_timeout;
        let recovered = match self.effort {
            Effort::Waiting => self.reopen(&cause, |channel| channel.reconcile_within(timeout)),
            Effort::Brief | Effort::Spent => self.reopen(&cause, Channel::reconcile_if_settled),
        };
        if recovered.is_err() {
            self.unresolved = Some(cause);
        }
        recovered
    }

    /// Rows that were lost with their channel are never committed, and no status says so. Reopening it does: the service
    /// refuses that as long as rows are on their way.
    fn recover_overdue(&mut self, overdue: Error) -> Result<(), Error> {
        // A service that does not answer a status would not answer an open either.
        if overdue.attempts() > 0 {
            return Err(overdue);
        }
        let now = self.channel.pipe().clock().now();
        if now.since(self.last_news) < self.commit_timeout.clamp(MIN_SILENCE, MAX_SILENCE) {
            return Err(overdue);
        }
        self.last_news = now;
        self.reopen_if_settled(overdue)
    }

    fn reopen_if_settled(&mut self, cause: Error) -> Result<(), Error> {
        match self.reopen(&cause, Channel::reconcile_if_settled) {
            Err(error) if error.kind() == ErrorKind::Timeout => Err(cause),
            reopened => reopened,
        }
    }

    fn reopen(
        &mut self,
        cause: &Error,
        reconcile: impl Fn(&mut Channel) -> Result<Uncommitted, Error>,
    ) -> Result<(), Error> {
        self.announce_reopening(cause);
        let pause = self.setbacks.pause_before_reopening(cause, self.committed_requests());
        let attempted = format!("deliver rows through channel {}", self.channel.name());
        let pause = pause.map_err(|error| error.attempting(attempted))?;
        if self.effort == Effort::Waiting {
            self.channel.pipe().clock().sleep(pause);
        } else {
            self.effort = Effort::Spent;
        }
        let uncommitted = match self.reconcile(reconcile) {
            Err(error) if error.kind() == ErrorKind::Conflict => return Err(self.end(error)),
            reconciled => reconciled?,
        };
        self.setbacks.note_reopening(cause);
        self.last_news = self.channel.pipe().clock().now();
        self.note_commit_lag();
        // If everything is committed there is no further look that would see these.
        self.note_rejected(self.channel.status_at_open().clone());
        let resumable = self.check_resumable(&uncommitted);
        for body in uncommitted.into_bodies().rev() {
            self.queue.push_front(body);
        }
        resumable.map_err(|error| self.end(error))
    }

    fn announce_reopening(&mut self, cause: &Error) {
        let is_news = self.announced.replace(self.committed_requests()) != Some(self.committed_requests());
        let level = if is_news { log::Level::Info } else { log::Level::Debug };
        log::log!(level, "reopening channel {}: {cause}", one_line(self.channel.name()));
    }

    /// An open that is behind what the service has reported before says nothing: asks again a few times.
    fn reconcile(
        &mut self,
        reconcile: impl Fn(&mut Channel) -> Result<Uncommitted, Error>,
    ) -> Result<Uncommitted, Error> {
        let mut wait = Wait::new(self.channel.pipe().clock(), MAX_LAG);
        if self.effort != Effort::Waiting {
            return reconcile(&mut self.channel).map_err(|error| match error.kind() {
                ErrorKind::Unconfirmed => self.outdated_once(error),
                _ => error,
            });
        }
        for _ in 1..MAX_OUTDATED {
            match reconcile(&mut self.channel) {
                Err(error) if error.kind() == ErrorKind::Unconfirmed => log::debug!("{error}"),
                reconciled => return reconciled,
            }
            wait.pause(self.channel.pipe().clock());
        }
        reconcile(&mut self.channel).map_err(|error| match error.kind() {
            ErrorKind::Unconfirmed => self.still_outdated(error),
            _ => error,
        })
    }

    /// An error if sending again what is not committed would double rows, or leave out those from before.
    fn check_resumable(&self, uncommitted: &Uncommitted) -> Result<(), Error> {
        self.channel.check_not_stored(uncommitted)?;
        // Rows from before cannot be sent again, so none may be sent after them.
        match uncommitted.has_inherited() {
            true if uncommitted.has_lost_inherited() => Err(self.inherited_lost()),
            true => Err(self.unproven()),
            false => Ok(()),
        }
    }

    pub(super) fn end(&mut self, error: Error) -> Error {
        self.channel.take_down(error.clone());
        self.ended = Some(error.clone());
        error
    }
}

/// With the growing pauses between them about a second: longer than a commit takes to be known everywhere.
pub(super) const MAX_OUTDATED: u32 = 9;

/// More than these pauses take together.
const MAX_LAG: Duration = Duration::from_secs(5);

/// Rows take some time to be committed, so asking earlier says nothing.
const MIN_SILENCE: Duration = Duration::from_millis(100);

/// Whoever waits in short turns is not kept waiting for longer than this by a channel that is lost.
const MAX_SILENCE: Duration = Duration::from_secs(1);
