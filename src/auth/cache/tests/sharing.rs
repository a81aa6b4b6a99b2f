//! Many threads and processes with one cache.

use super::*;

#[test]
fn sixty_four_threads_and_an_empty_cache_make_one_fetch() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        theirs.pass();
        Ok(grant(&*ours, number, HOUR))
    });
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..64).map(|_| scope.spawn(|| bench.cache.get(Limits::unlimited()).unwrap().generation)).collect();
        bench.wait_for_waiters(63);
        gate.open();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 1));
    });
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn sixty_four_threads_refused_on_one_generation_make_one_fetch_and_a_late_refusal_none() {
    let bench = Bench::with_lifetime(HOUR);
    let first = bench.cache.get(Limits::unlimited()).unwrap();
    let renewed = in_threads(64, || bench.cache.renew_after(&first, Limits::unlimited()).unwrap().unwrap().generation);
    assert_eq!((renewed, bench.fetches()), (vec![2; 64], 2));
    assert_eq!(bench.cache.renew_after(&first, Limits::unlimited()).unwrap().unwrap().generation, 2);
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn shortly_before_the_expiry_one_caller_renews_and_the_others_go_on() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        if number == 2 {
            theirs.pass();
        }
        Ok(grant(&*ours, number, HOUR))
    });
    bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(56 * MINUTE);
    thread::scope(|scope| {
        let renewing = scope.spawn(|| bench.cache.get(Limits::unlimited()).unwrap().generation);
        bench.wait_for_waiters(0);
        // The gate is still closed: a thread that waited for the renewal would wait for ever.
        assert_eq!(in_threads(8, || bench.cache.get(Limits::unlimited()).unwrap().generation), vec![1; 8]);
        gate.open();
        assert_eq!(renewing.join().unwrap(), 2);
    });
    assert_eq!((bench.cache.get(Limits::unlimited()).unwrap().generation, bench.fetches()), (2, 2));
}

#[test]
fn a_panic_in_a_fetch_wakes_the_waiting_threads() {
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
        let cache = &bench.cache;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(move || cache.get(Limits::unlimited()))).collect();
        bench.wait_for_waiters(7);
        gate.open();
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "the fetching thread panics");
        for error in ends.into_iter().flatten().map(Result::unwrap_err) {
            assert!(error.is_retryable() && error.to_string().contains("panicked"), "{error}");
        }
    });
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
}

#[test]
fn threads_whose_token_is_denied_at_once_wait_for_the_one_renewal() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        if number == 2 {
            theirs.pass();
        }
        Ok(grant(&*ours, number, HOUR))
    });
    let denied = bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(2 * MINUTE);
    thread::scope(|scope| {
        let (cache, denied) = (&bench.cache, &denied);
        let renew = move || {
            let renewed = cache.renew_after_denial(denied, Limits::unlimited()).unwrap();
            renewed.map(|renewed| renewed.generation)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(renew)).collect();
        bench.wait_for_waiters(7);
        gate.open();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(2));
        }
    });
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn two_refreshes_make_two_fetches_whatever_is_held_or_remembered() {
    let bench = Bench::with_lifetime(HOUR);
    bench.cache.get(Limits::unlimited()).unwrap();
    assert_eq!(bench.cache.refresh(Limits::unlimited()).unwrap().generation, 2);
    assert_eq!(bench.cache.refresh(Limits::unlimited()).unwrap().generation, 3);
    assert_eq!(bench.fetches(), 3);

    let clock = Arc::new(FakeClock::new());
    let bench = Bench::scripted(clock, |_| Err(Error::new(ErrorKind::Credentials, "refused")));
    for fetches in 1..=3 {
        assert_eq!(bench.cache.refresh(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Credentials);
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
        let getting = scope.spawn(|| bench.cache.get(Limits::unlimited()).unwrap().generation);
        bench.wait_for_waiters(0);
        let refreshing = scope.spawn(|| bench.cache.refresh(Limits::unlimited()).unwrap().generation);
        bench.wait_for_waiters(1);
        gate.open();
        assert_eq!((getting.join().unwrap(), refreshing.join().unwrap()), (1, 2));
    });
}

#[test]
fn a_failed_refresh_is_an_error_and_keeps_the_valid_token() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        _ => Err(unavailable()),
    });
    bench.cache.get(Limits::unlimited()).unwrap();
    assert_eq!(bench.cache.refresh(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
}

#[test]
fn waiting_threads_share_the_failure_instead_of_provoking_it_one_after_another() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let theirs = gate.clone();
    let bench = Bench::scripted(clock, move |_| {
        theirs.pass();
        Err(unavailable())
    });
    thread::scope(|scope| {
        let cache = &bench.cache;
        let threads: Vec<_> =
            (0..16).map(|_| scope.spawn(move || cache.get(Limits::unlimited()).unwrap_err().kind())).collect();
        bench.wait_for_waiters(15);
        gate.open();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == ErrorKind::Unavailable));
    });
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn a_source_that_asks_its_own_cache_gets_an_error_instead_of_a_deadlock() {
    let (clock, own) = (Arc::new(FakeClock::new()), Arc::new(OnceLock::<Weak<TokenCache>>::new()));
    let theirs = Arc::clone(&own);
    let bench = Bench::scripted(clock, move |number| {
        let cache = theirs.get().unwrap().upgrade().unwrap();
        let token = if number == 1 { cache.get(Limits::unlimited())? } else { cache.refresh(Limits::unlimited())? };
        Ok(Grant::clone(&token.grant))
    });
    own.set(Arc::downgrade(&bench.cache)).unwrap();
    for _ in 0..2 {
        assert_eq!(bench.cache.refresh(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Config);
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
                cache.get(Limits::unlimited()).unwrap();
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
    bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(56 * MINUTE);
    ASKED.set(Some(Arc::clone(&bench.cache)));
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
    assert!(ASKED.take().is_none(), "the warning was logged");
}

#[test]
fn a_fetch_that_was_in_progress_before_a_fork_is_not_waited_for() {
    let bench = Bench::with_lifetime(HOUR);
    bench.cache.state.lock().fetch = Some(Fetch::in_process(std::process::id().wrapping_add(1), Limits::unlimited()));
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
}

#[test]
fn an_empty_cache_and_a_full_one_print_no_token() {
    let bench = Bench::with_lifetime(HOUR);
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    bench.cache.renew_after(&token, Limits::unlimited()).unwrap().unwrap();
    let shown = format!("{:?} {token:?}", bench.cache);
    assert!(!shown.contains("token-"), "{shown}");
}

/// Many threads, tokens of milliseconds, random failures and refusals; then the counts are checked.
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
                lifetime => {
                    ours.fetch_add(1, Ordering::SeqCst);
                    Ok(grant(&SystemClock, number, Duration::from_millis(lifetime.into())))
                }
            }
        }),
    };
    let cache = TokenCache::new(Box::new(source), Arc::new(SystemClock));
    in_threads(THREADS, || hammer(&cache, ROUNDS));
    let state = cache.state.lock();
    assert!(state.fetch.is_none());
    assert_eq!(state.generation, u64::from(successes.load(Ordering::SeqCst)));
    // A call causes a renewal and at most one more fetch after a refusal.
    assert!(fetches.load(Ordering::SeqCst) <= 2 * (THREADS * ROUNDS) as u32);
}

/// Gets, refreshes and refuses tokens at random, and checks that they never get older.
fn hammer(cache: &TokenCache, rounds: usize) {
    let mut newest = 0;
    for _ in 0..rounds {
        let result =
            if fastrand::u8(..10) == 0 { cache.refresh(Limits::unlimited()) } else { cache.get(Limits::unlimited()) };
        let Ok(token) = result else { continue };
        assert!(token.generation >= newest, "time runs backwards");
        newest = token.generation;
        if fastrand::u8(..20) == 0
            && let Ok(Some(renewed)) = cache.renew_after(&token, Limits::unlimited())
        {
            assert!(renewed.generation > token.generation, "a refused token came back");
            newest = renewed.generation;
        }
    }
}
