//! Callers with little time and callers with more.

use super::*;
use crate::stop::{Stop, StopHandle};

const SECOND: Duration = Duration::from_secs(1);

fn too_late() -> Error {
    Error::new(ErrorKind::Timeout, "the time allowed for waiting ended")
}

/// A cache whose first fetch waits at the gate and fails then, as one that is cut off does; later ones succeed.
fn cut_off_at_first(gate: &Gate) -> Bench {
    let clock = Arc::new(FakeClock::new());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    Bench::scripted(clock, move |number| match number {
        1 => {
            theirs.pass();
            Err(too_late())
        }
        _ => Ok(grant(&*ours, number, HOUR)),
    })
}

#[test]
fn a_waiting_thread_gives_up_at_its_deadline_and_the_fetch_goes_on_for_the_others() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        theirs.pass();
        Ok(grant(&*ours, number, HOUR))
    });
    let soon = bench.clock.now().deadline(Duration::from_millis(5));
    thread::scope(|scope| {
        let patient: Vec<_> =
            (0..2).map(|_| scope.spawn(|| bench.cache.get(Limits::unlimited()).unwrap().generation)).collect();
        bench.wait_for_waiters(1);
        assert_eq!(bench.cache.get(Limits::until(soon)).unwrap_err().kind(), ErrorKind::Timeout);
        gate.open();
        assert!(patient.into_iter().all(|thread| thread.join().unwrap() == 1));
    });
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn a_fetch_that_one_callers_deadline_cuts_short_fails_for_no_caller_with_more_time() {
    let gate = Gate::default();
    let bench = cut_off_at_first(&gate);
    let (soon, later) = (bench.clock.now().deadline(SECOND), bench.clock.now().deadline(HOUR));
    thread::scope(|scope| {
        let hasty = scope.spawn(|| bench.cache.get(Limits::until(soon)));
        bench.wait_for_waiters(0);
        let patient = [Limits::unlimited(), Limits::until(later)].map(|limits| {
            let bench = &bench;
            scope.spawn(move || bench.cache.get(limits).unwrap().generation)
        });
        let refreshing = scope.spawn(|| bench.cache.refresh(Limits::unlimited()).is_ok());
        bench.wait_for_waiters(3);
        gate.open();
        // By then another thread may have fetched a token, which serves this one, too.
        assert!(hasty.join().unwrap().err().is_none_or(|error| error.kind() == ErrorKind::Timeout));
        assert!(patient.into_iter().all(|thread| thread.join().unwrap() > 0));
        assert!(refreshing.join().unwrap());
    });
    assert!((2..=4).contains(&bench.fetches()), "{}", bench.fetches());
}

#[test]
fn after_a_fetch_that_is_cut_short_a_refused_login_is_made_once_for_all_that_waited() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let theirs = gate.clone();
    let bench = Bench::scripted(clock, move |number| match number {
        1 => {
            theirs.pass();
            Err(too_late())
        }
        _ => Err(Error::new(ErrorKind::Credentials, "refused")),
    });
    let (cache, soon) = (&bench.cache, Limits::until(bench.clock.now().deadline(SECOND)));
    thread::scope(|scope| {
        let hasty = scope.spawn(move || cache.get(soon).unwrap_err().kind());
        bench.wait_for_waiters(0);
        let patient: Vec<_> =
            (0..64).map(|_| scope.spawn(|| cache.get(Limits::unlimited()).unwrap_err().kind())).collect();
        bench.wait_for_waiters(64);
        gate.open();
        assert_eq!(hasty.join().unwrap(), ErrorKind::Timeout);
        assert!(patient.into_iter().all(|thread| thread.join().unwrap() == ErrorKind::Credentials));
    });
    assert_eq!(bench.fetches(), 2, "repeated refusals can lock a user out");
}

#[test]
fn a_fetch_that_fails_in_time_fails_for_all_with_no_more_time() {
    let gate = Gate::default();
    let bench = cut_off_at_first(&gate);
    let soon = bench.clock.now().deadline(HOUR);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.cache.get(Limits::until(soon)).is_err())).collect();
        bench.wait_for_waiters(7);
        gate.open();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn a_timeout_is_not_remembered_for_callers_that_have_time() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Err(too_late().with_retry_after(HOUR)),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    let soon = bench.clock.now().deadline(SECOND);
    assert_eq!(bench.cache.get(Limits::until(soon)).unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
}

#[test]
fn a_renewal_for_a_denial_that_ends_for_lack_of_time_is_not_the_one_that_the_token_has() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        2 => Err(too_late()),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(2 * MINUTE);
    let soon = bench.clock.now().deadline(SECOND);
    assert_eq!(bench.cache.renew_after_denial(&token, Limits::until(soon)).unwrap_err().kind(), ErrorKind::Timeout);
    let renewed = bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().unwrap();
    bench.clock.pass(2 * MINUTE);
    let again = bench.cache.renew_after_denial(&renewed, Limits::unlimited()).unwrap();
    assert_eq!((renewed.generation, again.is_none()), (2, true), "the second token comes from a renewal for a denial");
}

/// Fetches one token, then takes all the time that a caller has.
#[derive(Debug)]
struct SlowRenewal {
    clock: Arc<FakeClock>,
}

impl TokenSource for SlowRenewal {
    fn fetch(&self, limits: Limits) -> Result<Grant, Error> {
        let Some(deadline) = limits.deadline else { return Ok(grant(&*self.clock, 1, HOUR)) };
        self.clock.pass(deadline.left(self.clock.now()));
        Err(too_late())
    }
}

#[test]
fn an_early_renewal_that_gets_no_response_leaves_half_of_the_time_for_the_request() {
    let clock = Arc::new(FakeClock::new());
    let cache = TokenCache::new(Box::new(SlowRenewal { clock: clock.clone() }), clock.clone());
    cache.get(Limits::unlimited()).unwrap();
    clock.pass(56 * MINUTE);
    let deadline = clock.now().deadline(10 * SECOND);
    assert_eq!(cache.get(Limits::until(deadline)).unwrap().generation, 1);
    assert_eq!(deadline.left(clock.now()), 5 * SECOND);
}

fn stopped_by(handle: &StopHandle) -> Limits {
    Limits::unlimited().or_stopped_by(&Stop::by(handle))
}

#[test]
fn a_stopped_thread_waits_for_no_fetch_and_the_fetch_goes_on_for_the_others() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        theirs.pass();
        Ok(grant(&*ours, number, HOUR))
    });
    let handle = StopHandle::new();
    thread::scope(|scope| {
        let patient: Vec<_> = (0..2).map(|_| scope.spawn(|| bench.cache.get(Limits::unlimited()).is_ok())).collect();
        bench.wait_for_waiters(1);
        let stopped = scope.spawn(|| bench.cache.get(stopped_by(&handle)).unwrap_err().kind());
        bench.wait_for_waiters(2);
        handle.stop();
        assert_eq!(stopped.join().unwrap(), ErrorKind::Stopped);
        gate.open();
        assert!(patient.into_iter().all(|thread| thread.join().unwrap()));
    });
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn a_fetch_that_is_stopped_fails_for_no_caller_that_is_not() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| match number {
        1 => {
            theirs.pass();
            Err(Error::new(ErrorKind::Stopped, "it was stopped"))
        }
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    let handle = StopHandle::new();
    thread::scope(|scope| {
        let stopped = scope.spawn(|| bench.cache.get(stopped_by(&handle)));
        bench.wait_for_waiters(0);
        let others: Vec<_> = (0..2).map(|_| scope.spawn(|| bench.cache.get(Limits::unlimited()).is_ok())).collect();
        bench.wait_for_waiters(2);
        handle.stop();
        gate.open();
        // By then another thread may have fetched a token, which serves this one, too.
        assert!(stopped.join().unwrap().err().is_none_or(|error| error.kind() == ErrorKind::Stopped));
        assert!(others.into_iter().all(|thread| thread.join().unwrap()));
    });
    assert_eq!((bench.fetches(), bench.cache.get(Limits::unlimited()).is_ok()), (2, true), "it is not remembered");
}

#[test]
fn a_wall_clock_stepped_forward_does_not_repeat_a_refused_login() {
    let bench = Bench::scripted(Arc::new(FakeClock::new()), |_| Err(Error::new(ErrorKind::Credentials, "refused")));
    for _ in 0..3 {
        assert!(bench.cache.get(Limits::unlimited()).is_err());
        bench.clock.step_wall(3600);
    }
    assert_eq!(bench.fetches(), 1, "repeated refusals can lock a user out");
}
