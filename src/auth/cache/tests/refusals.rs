//! What a refusal, a denial or a failure costs.

use super::*;

#[test]
fn a_permanent_failure_is_reported_again_for_some_seconds_without_a_fetch() {
    let clock = Arc::new(FakeClock::new());
    let bench = Bench::scripted(clock, |_| Err(Error::new(ErrorKind::Credentials, "refused")));
    for (passed, fetches) in [(0, 1), (0, 1), (9, 1), (1, 2), (5, 2)] {
        bench.clock.pass(Duration::from_secs(passed));
        assert_eq!(bench.cache.get(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Credentials);
        assert_eq!(bench.fetches(), fetches);
    }
}

#[test]
fn a_transient_failure_is_reported_again_as_long_as_the_service_asked_to_wait() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Err(unavailable()),
        2 => Err(Error::new(ErrorKind::Throttled, "slow down").with_retry_after(Some(Duration::from_secs(30)))),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Throttled, "fetched again at once");
    bench.clock.pass(Duration::from_secs(20));
    let again = bench.cache.get(Limits::unlimited()).unwrap_err();
    assert_eq!((again.retry_after(), bench.fetches()), (Some(Duration::from_secs(10)), 2));
    bench.clock.pass(Duration::from_secs(10));
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
}

#[test]
fn a_refused_token_is_not_returned_again_even_if_its_renewal_fails() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        2 | 3 => Err(unavailable()),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    let first = bench.cache.get(Limits::unlimited()).unwrap();
    assert!(bench.cache.renew_after(&first, Limits::unlimited()).is_err());
    assert!(bench.cache.get(Limits::unlimited()).is_err());
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 2);
}

#[test]
fn a_storm_of_denials_costs_one_fetch_in_a_tokens_lifetime() {
    let bench = Bench::with_lifetime(HOUR);
    bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(2 * MINUTE);
    let request = || {
        let token = bench.cache.get(Limits::unlimited()).unwrap();
        bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().is_some()
    };
    let renewed: Vec<_> = in_threads(64, || (0..10).filter(|_| request()).count());
    assert_eq!(bench.fetches(), 2, "{renewed:?}");
    bench.clock.pass(40 * MINUTE);
    assert!(!request(), "the new token comes from a renewal for a denial");
    bench.clock.pass(20 * MINUTE);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 3);
    bench.clock.pass(2 * MINUTE);
    assert!(request(), "the next token may be renewed for a denial again");
    assert_eq!(bench.fetches(), 4);
}

#[test]
fn a_denial_that_another_token_ended_was_about_the_token_and_the_next_may_be_so_too() {
    let bench = Bench::with_lifetime(Duration::from_secs(3600));
    let mut token = bench.cache.get(Limits::unlimited()).unwrap();
    for generation in 2..6 {
        bench.clock.pass(Duration::from_secs(61));
        token = bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().unwrap();
        assert_eq!(token.generation, generation);
        bench.cache.note_accepted(&token);
    }
    bench.clock.pass(Duration::from_secs(61));
    let next = bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().unwrap();
    bench.cache.note_accepted(&token);
    bench.clock.pass(Duration::from_secs(61));
    assert!(bench.cache.renew_after_denial(&next, Limits::unlimited()).unwrap().is_none(), "that was another token");
}

#[test]
fn a_token_of_a_short_life_is_young_for_half_of_it() {
    let bench = Bench::with_lifetime(Duration::from_secs(2));
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(Duration::from_millis(999));
    assert!(bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().is_none());
    bench.clock.pass(Duration::from_millis(1));
    assert_eq!(bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().unwrap().generation, 2);
}

#[test]
fn a_young_token_is_not_renewed_for_a_denial() {
    let bench = Bench::with_lifetime(HOUR);
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(Duration::from_secs(59));
    assert!(bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().is_none());
    bench.clock.pass(Duration::from_secs(1));
    assert_eq!(bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().unwrap().generation, 2);
}

#[test]
fn a_young_token_that_expires_soon_is_renewed_for_a_denial() {
    let bench = Bench::with_lifetime(Duration::from_secs(10));
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(Duration::from_secs(9));
    assert_eq!(bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().unwrap().generation, 2);
}

#[test]
fn a_late_denial_of_an_old_token_gets_the_current_one_without_a_fetch() {
    let bench = Bench::with_lifetime(HOUR);
    let old = bench.cache.get(Limits::unlimited()).unwrap();
    bench.cache.refresh(Limits::unlimited()).unwrap();
    assert_eq!(bench.cache.renew_after_denial(&old, Limits::unlimited()).unwrap().unwrap().generation, 2);
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn a_failed_renewal_for_a_denial_is_not_repeated_and_keeps_the_valid_token() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        _ => Err(unavailable()),
    });
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(2 * MINUTE);
    assert!(bench.cache.renew_after_denial(&token, Limits::unlimited()).is_err());
    assert!(bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().is_none());
    assert_eq!((bench.cache.get(Limits::unlimited()).unwrap().generation, bench.fetches()), (1, 2));
}

#[test]
fn a_renewal_for_a_denial_that_failed_for_a_passing_reason_is_repeated_after_a_pause() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        2 | 3 => Err(unavailable()),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    for _ in 0..2 {
        bench.clock.pass(MINUTE);
        assert!(bench.cache.renew_after_denial(&token, Limits::unlimited()).is_err());
        bench.clock.pass(MINUTE - Duration::from_secs(1));
        assert!(bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().is_none());
    }
    bench.clock.pass(Duration::from_secs(1));
    let renewed = bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().unwrap();
    assert_eq!((renewed.generation, bench.fetches()), (2, 4));
    bench.clock.pass(2 * MINUTE);
    assert!(bench.cache.renew_after_denial(&renewed, Limits::unlimited()).unwrap().is_none(), "it had its renewal");
}

#[test]
fn a_renewal_for_a_denial_that_was_repeated_and_brought_the_same_token_was_the_last() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        2 => Err(unavailable()),
        _ => Ok(grant(&*ours, 7, HOUR)),
    });
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(MINUTE);
    assert!(bench.cache.renew_after_denial(&token, Limits::unlimited()).is_err());
    for _ in 0..3 {
        bench.clock.pass(2 * MINUTE);
        assert!(bench.cache.renew_after_denial(&token, Limits::unlimited()).unwrap().is_none());
    }
    assert_eq!(bench.fetches(), 3);
}

#[test]
fn a_source_with_only_one_token_stays_at_one_generation() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let asked = clock.now();
    // Always the same token, whose remaining lifetime shrinks.
    let bench = Bench::scripted(clock, move |_| Ok(grant(&*ours, 7, HOUR - ours.now().since(asked))));
    for minute in 0..60 {
        assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1, "minute {minute}");
        bench.clock.pass(MINUTE);
    }
    assert!((2..10).contains(&bench.fetches()), "{}", bench.fetches());
}
