//! What a refused token is replaced by: by another that is fetched after the refusal, or by none.

use super::*;

#[test]
fn a_fetch_that_began_before_a_refusal_is_not_its_renewal() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| {
        if number == 2 {
            theirs.pass();
        }
        Ok(grant(&*ours, number, HOUR))
    });
    let first = bench.cache.get(Limits::unlimited()).unwrap();
    bench.clock.pass(56 * MINUTE);
    thread::scope(|scope| {
        let renewing = scope.spawn(|| bench.cache.get(Limits::unlimited()).unwrap());
        bench.wait_for_waiters(0);
        let refused: Vec<_> = (0..64)
            .map(|_| scope.spawn(|| bench.cache.renew_after(&first, Limits::unlimited()).unwrap().unwrap()))
            .collect();
        bench.wait_for_waiters(64);
        gate.open();
        assert_eq!(renewing.join().unwrap().grant.bearer.expose(), "token-2", "the thread that fetched it uses it");
        for renewed in refused {
            assert_eq!(renewed.join().unwrap().grant.bearer.expose(), "token-3");
        }
    });
    let current = bench.cache.get(Limits::unlimited()).unwrap();
    assert_eq!((current.grant.bearer.expose(), bench.fetches()), ("token-3", 3));
}

#[test]
fn a_source_that_returns_the_refused_token_has_no_other() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| Ok(grant(&*ours, number.max(2), HOUR)));
    let first = bench.cache.get(Limits::unlimited()).unwrap();
    let renewed = in_threads(64, || bench.cache.renew_after(&first, Limits::unlimited()).unwrap());
    assert!(renewed.iter().all(Option::is_none));
    let error = bench.cache.get(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), bench.fetches()), (ErrorKind::Credentials, 2));
    bench.clock.pass(Duration::from_secs(10));
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 2, "a refusal need not last");
}

#[test]
fn what_the_service_said_of_a_token_without_replacement_is_reported_again() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |_| Ok(grant(&*ours, 1, HOUR)));
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    assert!(bench.cache.renew_after(&token, Limits::unlimited()).unwrap().is_none());
    let said = Error::new(ErrorKind::Clock, "the token was issued in the future").with_status(401);
    bench.cache.note_refusal(&token, &said);
    let error = bench.cache.get(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Clock, said.to_string()));
    // Of another token nothing is known.
    let other = Token::new(Grant::clone(&token.grant), 7);
    bench.cache.note_refusal(&other, &unavailable());
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Clock);
    // A connection that broke was no refusal.
    bench.cache.note_refusal(&token, &unavailable());
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 2);
}

#[test]
fn a_refused_token_is_not_fetched_again_after_a_renewal_that_failed_for_a_while() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        2 => Err(unavailable()),
        _ => Ok(grant(&*ours, 1, HOUR)),
    });
    let token = bench.cache.get(Limits::unlimited()).unwrap();
    assert_eq!(bench.cache.renew_after(&token, Limits::unlimited()).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Credentials);
    assert_eq!(bench.fetches(), 3);
}

#[test]
fn a_fetch_whose_budget_ends_fails_for_no_call_that_has_more_of_its_own() {
    let (clock, gate) = (Arc::new(FakeClock::new()), Gate::default());
    let (ours, theirs) = (Arc::clone(&clock), gate.clone());
    let bench = Bench::scripted(clock, move |number| match number {
        1 => {
            theirs.pass();
            Err(unavailable())
        }
        _ => Ok(grant(&*ours, number, HOUR)),
    });
    let budget =
        |seconds| Limits { retries: bench.clock.now().deadline(Duration::from_secs(seconds)), ..Limits::unlimited() };
    let (cache, nearly_over, same, whole) = (&bench.cache, budget(1), budget(2), budget(120));
    thread::scope(|scope| {
        let late = scope.spawn(move || cache.get(nearly_over));
        bench.wait_for_waiters(0);
        let equal = scope.spawn(move || cache.get(same));
        let early = scope.spawn(move || cache.get(whole));
        bench.wait_for_waiters(2);
        gate.open();
        // By then another thread may have fetched a token, which serves these, too.
        for result in [late.join().unwrap(), equal.join().unwrap()] {
            assert!(result.err().is_none_or(|error| error.kind() == ErrorKind::Unavailable));
        }
        assert_eq!(early.join().unwrap().unwrap().generation, 1);
    });
    assert_eq!(bench.fetches(), 2, "calls that begin at once share a failure");
}

#[test]
fn a_token_that_is_read_again_early_is_used_while_it_cannot_be_read() {
    let clock = Arc::new(FakeClock::new());
    let ours = Arc::clone(&clock);
    let bench = Bench::scripted(clock, move |number| match number {
        1 | 4 => Ok(Grant { reread_after: Some(MINUTE), ..grant(&*ours, 1, 24 * HOUR) }),
        _ => Err(Error::new(ErrorKind::Config, "it cannot be read")),
    });
    for (passed, fetches) in [(0, 1), (59, 1), (1, 2), (59, 2), (1, 3), (60, 4), (59, 4), (1, 5)] {
        bench.clock.pass(Duration::from_secs(passed));
        assert_eq!(bench.cache.get(Limits::unlimited()).unwrap().generation, 1);
        assert_eq!(bench.fetches(), fetches, "after {passed} s");
    }
    bench.clock.pass(25 * HOUR);
    assert_eq!(bench.cache.get(Limits::unlimited()).unwrap_err().kind(), ErrorKind::Config);
}

fn renew(bench: &Bench, refused: &Token) -> Option<Token> {
    bench.cache.renew_after(refused, Limits::unlimited()).unwrap()
}

#[test]
fn a_renewed_token_that_is_refused_too_is_not_renewed_for_ten_seconds() {
    let bench = Bench::served(HOUR);
    let first = bench.cache.get(Limits::unlimited()).unwrap();
    let renewed = in_threads(8, || renew(&bench, &first).unwrap());
    assert!(renewed.iter().all(|token| token.generation == 2));
    bench.clock.pass(Duration::from_millis(9999));
    assert!(in_threads(8, || renew(&bench, &renewed[0])).iter().all(Option::is_none));
    assert_eq!((bench.cache.get(Limits::unlimited()).unwrap().generation, bench.fetches()), (2, 2));
    bench.clock.pass(Duration::from_millis(1));
    assert_eq!(renew(&bench, &renewed[0]).unwrap().generation, 3);
    // Who asks for another gets it.
    assert!(renew(&bench, &bench.cache.get(Limits::unlimited()).unwrap()).is_none());
    let refreshed = bench.cache.refresh(Limits::unlimited()).unwrap();
    assert_eq!((renew(&bench, &refreshed).unwrap().generation, bench.fetches()), (5, 5));
}

#[test]
fn a_renewed_token_that_was_accepted_is_renewed_at_once_when_it_is_refused() {
    for accept in [TokenCache::end_trial, TokenCache::note_accepted] {
        let bench = Bench::served(HOUR);
        let mut token = bench.cache.get(Limits::unlimited()).unwrap();
        for generation in 2..20 {
            token = renew(&bench, &token).unwrap();
            assert_eq!(token.generation, generation);
            accept(&bench.cache, &token);
        }
    }
}

#[test]
fn a_renewed_token_past_half_of_its_short_life_is_renewed_and_one_made_on_this_machine_always() {
    let bench = Bench::served(Duration::from_secs(2));
    let renewed = renew(&bench, &bench.cache.get(Limits::unlimited()).unwrap()).unwrap();
    bench.clock.pass(Duration::from_millis(999));
    assert!(renew(&bench, &renewed).is_none());
    bench.clock.pass(Duration::from_millis(1));
    assert_eq!(renew(&bench, &renewed).unwrap().generation, 3);
    let bench = Bench::with_lifetime(HOUR);
    let mut token = bench.cache.get(Limits::unlimited()).unwrap();
    for generation in 2..20 {
        token = renew(&bench, &token).unwrap();
        assert_eq!(token.generation, generation, "its file may have changed");
    }
}
