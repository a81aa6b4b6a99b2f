//! How long a token serves, by whatever clock.

use super::*;

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
    for lifetime in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1)] {
        let bench = Bench::with_life(lifetime);
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
