use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Asks loads and other calls to end early: for a program that is told to stop by a signal or by a person.
///
/// Clones stop the same calls, any number of them, from any thread. A handle that has stopped stays so: what is started with
/// it ends at once and sends nothing.
///
/// [`Loader::stop_handle`](crate::Loader::stop_handle) has what a stopped load does, [`Pipe::stopped_by`](crate::Pipe::stopped_by)
/// what other calls do.
///
/// ```
/// use snowpipe_streaming::StopHandle;
///
/// let handle = StopHandle::new();
/// let in_another_thread = handle.clone();
/// in_another_thread.stop();
/// assert!(handle.is_stopped());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopHandle {
    is_stopped: Arc<AtomicBool>,
}

impl StopHandle {
    /// A handle that has stopped nothing yet.
    pub fn new() -> StopHandle {
        StopHandle::default()
    }

    /// Stops what the handle was given to. Returns at once; the calls themselves end as soon as they can.
    ///
    /// Safe in a signal handler: it stores into one atomic, takes no lock and allocates nothing. The same holds for
    /// [`is_stopped`](StopHandle::is_stopped), but not for making, cloning and dropping a handle.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Whether [`stop`](StopHandle::stop) was called on this handle or a clone of it.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

/// What may end a call early, if anything may: each of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Vec<StopHandle>);

impl Stop {
    pub(crate) fn by(handle: &StopHandle) -> Stop {
        Stop(vec![handle.clone()])
    }

    /// The same, or another handle.
    pub(crate) fn or_by(&self, handle: &StopHandle) -> Stop {
        Stop(self.0.iter().chain([handle]).cloned().collect())
    }

    /// This one if it can stop anything, otherwise the other.
    pub(crate) fn or(self, other: &Stop) -> Stop {
        if self.0.is_empty() { other.clone() } else { self }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.iter().any(StopHandle::is_stopped)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_stopped() { Err(stopped("it was stopped")) } else { Ok(()) }
    }

    /// How long to wait for something else before looking here again; `None` if there is nothing to look for.
    pub(crate) fn look_after(&self) -> Option<Duration> {
        if self.0.is_empty() { None } else { Some(TICK) }
    }
}

/// The error of a call that ended early, with what happened.
pub(crate) fn stopped(happened: impl Into<String>) -> Error {
    Error::new(ErrorKind::Stopped, happened).advise("run it again to go on")
}

/// A signal handler can wake no thread, so whoever waits looks. Ten looks a second cost nothing, and nobody notices the delay.
const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_seen_by_every_clone_and_stays() {
        let handle = StopHandle::new();
        let (clone, stop) = (handle.clone(), Stop::by(&handle));
        assert!(!clone.is_stopped() && stop.check().is_ok());
        clone.stop();
        clone.stop();
        assert!(handle.is_stopped() && stop.is_stopped());
        let error = stop.check().unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Stopped, true));
        assert_eq!(error.to_string(), "it was stopped; run it again to go on");
    }

    #[test]
    fn what_nothing_can_stop_is_looked_at_by_nobody() {
        assert!(!Stop::default().is_stopped() && Stop::default().look_after().is_none());
        let (first, second) = (StopHandle::new(), StopHandle::new());
        second.stop();
        assert!(Stop::default().or(&Stop::by(&second)).is_stopped());
        assert!(!Stop::by(&first).or(&Stop::by(&second)).is_stopped());
        assert!(Stop::by(&first).or_by(&second).is_stopped() && Stop::by(&second).or_by(&first).is_stopped());
    }
}
