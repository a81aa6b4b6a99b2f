use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, Weak};
use std::thread;

use super::*;
use crate::auth::TokenKind;
use crate::clock::{FakeClock, SystemClock};
use crate::error::ErrorKind;
use crate::http::Origin;

type Script = dyn Fn(u32) -> Result<Grant, Error> + Send + Sync;

/// A source that counts its fetches and answers each by the script.
struct Scripted {
    fetches: Arc<AtomicU32>,
    script: Box<Script>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl TokenSource for Scripted {
    fn fetch(&self) -> Result<Grant, Error> {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        (self.script)(number)
    }
}

/// A cache with a fake clock around it.
struct Bench {
    cache: Arc<TokenCache>,
    clock: Arc<FakeClock>,
    fetches: Arc<AtomicU32>,
}

impl Bench {
    /// Every token lives so long.
    fn with_life(life: Duration) -> Bench {
        let clock = Arc::new(FakeClock::new());
        let ours = Arc::clone(&clock);
        Bench::scripted(clock, move |number| Ok(grant(&*ours, number, life)))
    }

    fn scripted(clock: Arc<FakeClock>, script: impl Fn(u32) -> Result<Grant, Error> + Send + Sync + 'static) -> Bench {
        let fetches = Arc::new(AtomicU32::new(0));
        let source = Scripted { fetches: Arc::clone(&fetches), script: Box::new(script) };
        let cache = Arc::new(TokenCache::new(Box::new(source), clock.clone()));
        Bench { cache, clock, fetches }
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Returns once so many threads wait for the flight: each holds it, as do its leader and the state.
    fn wait_for_waiters(&self, waiters: usize) {
        while self.cache.state.lock().flight.as_ref().map_or(0, Arc::strong_count) < waiters + 2 {
            thread::yield_now();
        }
    }
}

/// Closed at first; whoever passes waits until it is opened.
#[derive(Clone, Default)]
struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn open(&self) {
        *self.open.0.lock() = true;
        self.open.1.notify_all();
    }

    fn pass(&self) {
        let mut open = self.open.0.lock();
        while !*open {
            self.open.1.wait(&mut open);
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn grant(clock: &dyn Clock, number: u32, life: Duration) -> Grant {
    let origin = Origin::parse("https://a.example", "test URL").unwrap();
    Grant { bearer: format!("token-{number}").into(), kind: TokenKind::OAuth, origin, life, asked: clock.now() }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "no answer")
}

fn in_threads<T: Send>(count: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn a_token_serves_until_near_its_end() {
    let bench = Bench::with_life(HOUR);
    for _ in 0..54 {
        assert_eq!(bench.cache.get().unwrap().generation, 1);
        bench.clock.pass(MINUTE);
    }
    bench.clock.pass(2 * MINUTE);
    assert_eq!(bench.cache.get().unwrap().generation, 2);
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn sixty_four_threads_and_an_empty_cache_make_one_fetch() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        theirs.pass();
        Ok(grant(&*ours, number, HOUR))
    });
    thread::scope(|scope| {
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(|| bench.cache.get().unwrap().generation)).collect();
        bench.wait_for_waiters(63);
        gate.open();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 1));
    });
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn sixty_four_threads_refused_on_one_generation_make_one_fetch_and_a_late_refusal_none() {
    let bench = Bench::with_life(HOUR);
    let first = bench.cache.get().unwrap();
    let renewed = in_threads(64, || bench.cache.renew_after(&first).unwrap().generation);
    assert_eq!((renewed, bench.fetches()), (vec![2; 64], 2));
    assert_eq!(bench.cache.renew_after(&first).unwrap().generation, 2);
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn near_the_end_one_caller_renews_and_the_others_go_on() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        if number == 2 {
            theirs.pass();
        }
        Ok(grant(&*ours, number, HOUR))
    });
    bench.cache.get().unwrap();
    bench.clock.pass(56 * MINUTE);
    thread::scope(|scope| {
        let renewing = scope.spawn(|| bench.cache.get().unwrap().generation);
        bench.wait_for_waiters(0);
        // The gate is still closed: whoever waited for the renewal would wait for ever.
        assert_eq!(in_threads(8, || bench.cache.get().unwrap().generation), vec![1; 8]);
        gate.open();
        assert_eq!(renewing.join().unwrap(), 2);
    });
    assert_eq!((bench.cache.get().unwrap().generation, bench.fetches()), (2, 2));
}

#[test]
fn a_failed_early_renewal_keeps_the_good_token_and_backs_off() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        // Not even a permanent failure spoils a good token.
        2 => Err(Error::new(ErrorKind::Credentials, "refused")),
        3 => Err(unavailable()),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    bench.cache.get().unwrap();
    bench.clock.pass(56 * MINUTE);
    for (passed, fetches) in [(0, 2), (0, 2), (10, 2), (48, 3), (0, 3), (48, 4)] {
        bench.clock.pass(Duration::from_secs(passed));
        let token = bench.cache.get().unwrap();
        assert_eq!((bench.fetches(), token.generation == 1), (fetches, fetches < 4), "after {passed} s");
    }
}

#[test]
fn a_renewal_that_fails_when_the_token_is_at_its_end_is_an_error() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        _ => Err(unavailable()),
    });
    bench.cache.get().unwrap();
    bench.clock.pass(HOUR - Duration::from_secs(29));
    assert_eq!(bench.cache.get().unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn a_life_of_nothing_is_used_once_and_not_looped_on() {
    for life in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1)] {
        let bench = Bench::with_life(life);
        for number in 1..=3 {
            assert_eq!(bench.cache.get().unwrap().generation, u64::from(number));
            assert_eq!(bench.fetches(), number);
            bench.clock.pass(Duration::from_secs(1));
        }
    }
}

#[test]
fn a_life_of_a_second_serves_for_most_of_it() {
    let bench = Bench::with_life(Duration::from_secs(1));
    for _ in 0..3 {
        bench.cache.get().unwrap();
        bench.clock.pass(Duration::from_millis(250));
    }
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn an_absurd_life_is_a_long_one() {
    let bench = Bench::with_life(Duration::MAX);
    bench.cache.get().unwrap();
    bench.clock.pass(365 * 24 * HOUR);
    assert_eq!((bench.cache.get().unwrap().generation, bench.fetches()), (1, 1));
}

#[test]
fn a_wall_clock_stepped_back_makes_no_token_live_longer() {
    let bench = Bench::with_life(HOUR);
    bench.cache.get().unwrap();
    bench.clock.step_wall(-3600);
    bench.clock.pass(30 * MINUTE);
    assert_eq!(bench.cache.get().unwrap().generation, 1);
    bench.clock.pass(30 * MINUTE);
    assert_eq!(bench.cache.get().unwrap().generation, 2);
}

#[test]
fn a_wall_clock_stepped_forward_costs_one_fetch() {
    let bench = Bench::with_life(HOUR);
    bench.cache.get().unwrap();
    bench.clock.step_wall(3600);
    for _ in 0..3 {
        assert_eq!(bench.cache.get().unwrap().generation, 2);
    }
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn a_machine_that_slept_over_the_end_of_its_token_fetches_another() {
    let bench = Bench::with_life(HOUR);
    bench.cache.get().unwrap();
    // The monotonic clock stands still in a suspended machine.
    bench.clock.step_wall(8 * 3600);
    assert_eq!(bench.cache.get().unwrap().generation, 2);
}

#[test]
fn a_panic_in_a_fetch_wakes_those_who_wait_for_it() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        if number == 1 {
            theirs.pass();
            panic!("on purpose");
        }
        Ok(grant(&*ours, number, HOUR))
    });
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.cache.get())).collect();
        bench.wait_for_waiters(7);
        gate.open();
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "the leader panics");
        for error in ends.into_iter().flatten().map(Result::unwrap_err) {
            assert!(error.is_retryable() && error.to_string().contains("panicked"), "{error}");
        }
    });
    assert_eq!(bench.cache.get().unwrap().generation, 1);
}

#[test]
fn two_refreshes_make_two_fetches_whatever_is_held_or_remembered() {
    let bench = Bench::with_life(HOUR);
    bench.cache.get().unwrap();
    assert_eq!(bench.cache.refresh().unwrap().generation, 2);
    assert_eq!(bench.cache.refresh().unwrap().generation, 3);
    assert_eq!(bench.fetches(), 3);

    let clock = Arc::new(FakeClock::new());
    let bench = Bench::scripted(clock, |_| Err(Error::new(ErrorKind::Credentials, "refused")));
    for fetches in 1..=3 {
        assert_eq!(bench.cache.refresh().unwrap_err().kind(), ErrorKind::Credentials);
        assert_eq!(bench.fetches(), fetches);
    }
}

#[test]
fn a_refresh_does_not_settle_for_a_fetch_that_began_before_it() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        if number == 1 {
            theirs.pass();
        }
        Ok(grant(&*ours, number, HOUR))
    });
    thread::scope(|scope| {
        let getting = scope.spawn(|| bench.cache.get().unwrap().generation);
        bench.wait_for_waiters(0);
        let refreshing = scope.spawn(|| bench.cache.refresh().unwrap().generation);
        bench.wait_for_waiters(1);
        gate.open();
        assert_eq!((getting.join().unwrap(), refreshing.join().unwrap()), (1, 2));
    });
}

#[test]
fn a_failed_refresh_tells_so_and_keeps_the_good_token() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        _ => Err(unavailable()),
    });
    bench.cache.get().unwrap();
    assert_eq!(bench.cache.refresh().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bench.cache.get().unwrap().generation, 1);
}

#[test]
fn those_who_wait_share_the_failure_instead_of_provoking_it_one_after_another() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let theirs = gate.clone();
    let bench = Bench::scripted(clock, move |_| {
        theirs.pass();
        Err(unavailable())
    });
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| bench.cache.get().unwrap_err().kind())).collect();
        bench.wait_for_waiters(15);
        gate.open();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == ErrorKind::Unavailable));
    });
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn a_permanent_failure_is_told_again_for_some_seconds_without_asking() {
    let clock = Arc::new(FakeClock::new());
    let bench = Bench::scripted(clock, |_| Err(Error::new(ErrorKind::Credentials, "refused")));
    for (passed, fetches) in [(0, 1), (0, 1), (9, 1), (1, 2), (5, 2)] {
        bench.clock.pass(Duration::from_secs(passed));
        assert_eq!(bench.cache.get().unwrap_err().kind(), ErrorKind::Credentials);
        assert_eq!(bench.fetches(), fetches);
    }
}

#[test]
fn a_transient_failure_is_told_again_as_long_as_the_service_asked_to_wait() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Err(unavailable()),
        2 => Err(Error::new(ErrorKind::Throttled, "slow down").with_retry_after(Some(Duration::from_secs(30)))),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    assert_eq!(bench.cache.get().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bench.cache.get().unwrap_err().kind(), ErrorKind::Throttled, "asked again at once");
    bench.clock.pass(Duration::from_secs(20));
    let again = bench.cache.get().unwrap_err();
    assert_eq!((again.retry_after(), bench.fetches()), (Some(Duration::from_secs(10)), 2));
    bench.clock.pass(Duration::from_secs(10));
    assert_eq!(bench.cache.get().unwrap().generation, 1);
}

#[test]
fn a_refused_token_is_not_handed_out_again_even_if_its_renewal_fails() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        2 | 3 => Err(unavailable()),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    let first = bench.cache.get().unwrap();
    assert!(bench.cache.renew_after(&first).is_err());
    assert!(bench.cache.get().is_err());
    assert_eq!(bench.cache.get().unwrap().generation, 2);
}

#[test]
fn a_storm_of_denials_costs_one_fetch_in_a_tokens_life() {
    let bench = Bench::with_life(HOUR);
    bench.cache.get().unwrap();
    bench.clock.pass(2 * MINUTE);
    let request = || {
        let token = bench.cache.get().unwrap();
        bench.cache.renew_after_denial(&token).is_some()
    };
    let renewed: Vec<_> = in_threads(64, || (0..10).filter(|_| request()).count());
    assert_eq!(bench.fetches(), 2, "{renewed:?}");
    bench.clock.pass(40 * MINUTE);
    assert!(!request(), "the new token is the fruit of a renewal for a denial");
    bench.clock.pass(20 * MINUTE);
    assert_eq!(bench.cache.get().unwrap().generation, 3);
    bench.clock.pass(2 * MINUTE);
    assert!(request(), "the next token has a try of its own");
    assert_eq!(bench.fetches(), 4);
}

#[test]
fn a_young_token_is_not_renewed_for_a_denial() {
    let bench = Bench::with_life(HOUR);
    let token = bench.cache.get().unwrap();
    bench.clock.pass(Duration::from_secs(59));
    assert!(bench.cache.renew_after_denial(&token).is_none());
    bench.clock.pass(Duration::from_secs(1));
    assert_eq!(bench.cache.renew_after_denial(&token).unwrap().unwrap().generation, 2);
}

#[test]
fn a_young_token_near_its_end_is_renewed_for_a_denial() {
    let bench = Bench::with_life(Duration::from_secs(10));
    let token = bench.cache.get().unwrap();
    bench.clock.pass(Duration::from_secs(9));
    assert_eq!(bench.cache.renew_after_denial(&token).unwrap().unwrap().generation, 2);
}

#[test]
fn a_late_denial_of_an_old_token_gets_the_current_one_without_a_fetch() {
    let bench = Bench::with_life(HOUR);
    let old = bench.cache.get().unwrap();
    bench.cache.refresh().unwrap();
    assert_eq!(bench.cache.renew_after_denial(&old).unwrap().unwrap().generation, 2);
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn a_failed_renewal_for_a_denial_is_not_repeated_and_costs_no_good_token() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        _ => Err(unavailable()),
    });
    let token = bench.cache.get().unwrap();
    bench.clock.pass(2 * MINUTE);
    assert!(bench.cache.renew_after_denial(&token).unwrap().is_err());
    assert!(bench.cache.renew_after_denial(&token).is_none());
    assert_eq!((bench.cache.get().unwrap().generation, bench.fetches()), (1, 2));
}

#[test]
fn a_source_that_asks_its_own_cache_gets_an_error_instead_of_a_deadlock() {
    let (clock, own) = (Arc::new(FakeClock::new()), Arc::new(OnceLock::<Weak<TokenCache>>::new()));
    let theirs = Arc::clone(&own);
    let bench = Bench::scripted(clock, move |number| {
        let cache = theirs.get().unwrap().upgrade().unwrap();
        let token = if number == 1 { cache.get()? } else { cache.refresh()? };
        Ok(Grant::clone(&token.grant))
    });
    own.set(Arc::downgrade(&bench.cache)).unwrap();
    for _ in 0..2 {
        assert_eq!(bench.cache.refresh().unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn a_logger_may_ask_for_a_token_itself() {
    thread_local! {
        static ASKED: std::cell::RefCell<Option<Arc<TokenCache>>> = const { std::cell::RefCell::new(None) };
    }

    struct Asking;

    impl log::Log for Asking {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, _: &log::Record<'_>) {
            if let Some(cache) = ASKED.take() {
                cache.get().unwrap();
            }
        }

        fn flush(&self) {}
    }

    log::set_logger(&Asking).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        _ => Err(unavailable()),
    });
    bench.cache.get().unwrap();
    bench.clock.pass(56 * MINUTE);
    ASKED.set(Some(Arc::clone(&bench.cache)));
    assert_eq!(bench.cache.get().unwrap().generation, 1);
    assert!(ASKED.take().is_none(), "the warning was logged");
}

#[test]
fn each_waiter_has_its_own_time() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let mut bench = Bench::scripted(clock, move |number| {
        theirs.pass();
        Ok(grant(&*ours, number, HOUR))
    });
    Arc::get_mut(&mut bench.cache).unwrap().patience = Duration::from_millis(5);
    thread::scope(|scope| {
        let getting = scope.spawn(|| bench.cache.get().unwrap().generation);
        bench.wait_for_waiters(0);
        assert_eq!(bench.cache.get().unwrap_err().kind(), ErrorKind::Timeout);
        gate.open();
        assert_eq!(getting.join().unwrap(), 1);
    });
}

#[test]
fn a_fetch_under_way_in_the_process_before_a_fork_is_nothing_to_wait_for() {
    let bench = Bench::with_life(HOUR);
    bench.cache.state.lock().flight = Some(Flight::of_process(std::process::id().wrapping_add(1)));
    assert_eq!(bench.cache.get().unwrap().generation, 1);
}

#[test]
fn a_source_that_has_but_one_token_keeps_its_generation() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let asked = clock.now();
    // The same token, whose end comes nearer.
    let bench = Bench::scripted(clock, move |_| Ok(grant(&*ours, 7, HOUR - ours.now().since(asked))));
    for minute in 0..60 {
        assert_eq!(bench.cache.get().unwrap().generation, 1, "minute {minute}");
        bench.clock.pass(MINUTE);
    }
    assert!((2..10).contains(&bench.fetches()), "{}", bench.fetches());
}

#[test]
fn an_empty_cache_and_a_full_one_print_no_token() {
    let bench = Bench::with_life(HOUR);
    let token = bench.cache.get().unwrap();
    bench.cache.renew_after(&token).unwrap();
    let shown = format!("{:?} {token:?}", bench.cache);
    assert!(!shown.contains("token-"), "{shown}");
}

/// Many threads, tokens of milliseconds, failures and refusals at random; then the books are checked.
#[test]
fn under_stress_no_thread_hangs_no_refused_token_comes_back_and_no_fetched_one_is_lost() {
    const THREADS: usize = 16;
    const ROUNDS: usize = 400;
    let (fetches, successes) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (under_way, ours) = (AtomicU32::new(0), Arc::clone(&successes));
    let source = Scripted {
        fetches: Arc::clone(&fetches),
        script: Box::new(move |number| {
            assert_eq!(under_way.fetch_add(1, Ordering::SeqCst), 0, "two fetches at once");
            thread::yield_now();
            under_way.fetch_sub(1, Ordering::SeqCst);
            match fastrand::u8(..10) {
                0 => Err(unavailable()),
                life => {
                    ours.fetch_add(1, Ordering::SeqCst);
                    Ok(grant(&SystemClock, number, Duration::from_millis(life.into())))
                }
            }
        }),
    };
    let cache = TokenCache::new(Box::new(source), Arc::new(SystemClock));
    in_threads(THREADS, || {
        let mut newest = 0;
        for _ in 0..ROUNDS {
            let result = if fastrand::u8(..10) == 0 { cache.refresh() } else { cache.get() };
            let Ok(token) = result else { continue };
            assert!(token.generation >= newest, "time runs backwards");
            newest = token.generation;
            if fastrand::u8(..20) == 0
                && let Ok(renewed) = cache.renew_after(&token)
            {
                assert!(renewed.generation > token.generation, "a refused token came back");
                newest = renewed.generation;
            }
        }
    });
    let state = cache.state.lock();
    assert!(state.flight.is_none());
    assert_eq!(state.generation, u64::from(successes.load(Ordering::SeqCst)));
    // A call causes a renewal and at most one more fetch after a refusal.
    assert!(fetches.load(Ordering::SeqCst) <= 2 * (THREADS * ROUNDS) as u32);
}
