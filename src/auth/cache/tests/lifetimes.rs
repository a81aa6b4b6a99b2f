//! How long a token is used, by each clock.

use super::*;

#[test]
fn a_token_is_used_until_shortly_before_its_expiry() {
    let bench = Bench::with_lifetime(HOUR);
    for _ in 0..54 {
        assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
        bench.clock.pass(MINUTE);
    }
    bench.clock.pass(2 * MINUTE);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 2);
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn a_failed_early_renewal_keeps_the_valid_token_and_backs_off() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        // Not even a permanent failure replaces a valid token.
        2 => Err(Error::new(ErrorKind::Credentials, "refused")),
        3 => Err(unavailable()),
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(56 * MINUTE);
    for (passed, fetches) in [(0, 2), (0, 2), (10, 2), (48, 3), (0, 3), (48, 4)] {
        bench.clock.pass(Duration::from_secs(passed));
        let token = bench.cache.get(Limits::unlimited()).unwrap();
        assert_eq!((bench.fetches(), token.generation == 1), (fetches, fetches < 4), "after {passed} s");
    }
}

#[test]
fn a_renewal_that_fails_when_the_token_has_expired_is_an_error() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 => Ok(grant(&*ours, number, HOUR)),
        _ => Err(unavailable()),
    });
    bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(HOUR - Duration::from_secs(29));
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn a_token_that_expires_at_once_is_used_once_and_not_looped_on() {
    for lifetime in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1)] {
        let bench = Bench::with_lifetime(lifetime);
        for number in 1..=3 {
            assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, u64::from(number));
            assert_eq!(bench.fetches(), number);
            bench.clock.pass(Duration::from_secs(1));
        }
    }
}

#[test]
fn a_token_of_a_second_is_used_for_most_of_it() {
    let bench = Bench::with_lifetime(Duration::from_secs(1));
    for _ in 0..3 {
        bench.cache.get(Limits::unlimited()).unwrap();
        bench.clock.pass(Duration::from_millis(250));
    }
    assert_eq!(bench.fetches(), 1);
}

#[test]
fn an_absurd_lifetime_is_a_long_one() {
    let bench = Bench::with_lifetime(Duration::MAX);
    bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(365 * 24 * HOUR);
    assert_eq!((bench.cache.get(Limits::unlimited()).unwrap().generation, bench.fetches()), (1, 1));
}

#[test]
fn a_wall_clock_stepped_back_does_not_extend_a_lifetime() {
    let bench = Bench::with_lifetime(HOUR);
    bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.step_wall(-3600);
    bench.clock.pass(30 * MINUTE);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
    bench.clock.pass(30 * MINUTE);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 2);
}

#[test]
fn a_wall_clock_stepped_forward_costs_one_fetch() {
    let bench = Bench::with_lifetime(HOUR);
    bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.step_wall(3600);
    for _ in 0..3 {
        assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 2);
    }
    assert_eq!(bench.fetches(), 2);
}

#[test]
fn a_machine_that_was_suspended_past_the_expiry_fetches_another_token() {
    let bench = Bench::with_lifetime(HOUR);
    bench.cache.get(Limits::unlimited()).unwrap();
    // The monotonic clock stands still in a suspended machine.
    bench.clock.step_wall(8 * 3600);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 2);
}
