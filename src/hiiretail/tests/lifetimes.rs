//! Tokens that expire, are revoked or denied, as the caller sees it: no call fails, and no token is fetched in vain.

use std::sync::Barrier;
use std::thread;

use ::http::HeaderMap;
use parking_lot::Mutex;

use super::*;
use crate::clock::Moment;
use crate::error::ErrorKind;
use crate::hiiretail::Cause;
use crate::http::{Call, Failure, Response};

/// OCMS and the IAM in one, by the test's clock. Clones share everything.
#[derive(Clone, Debug)]
struct Platform {
    clock: Arc<FakeClock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    issued: Vec<Moment>,
    /// Tokens up to this one are revoked.
    revoked: usize,
    /// What a token that is no good is refused with.
    refusal: (u16, &'static str),
    client_is_revoked: bool,
    denies: bool,
    refuses_all: bool,
    calls: usize,
}

impl Platform {
    fn new(refusal: (u16, &'static str)) -> Platform {
        let (issued, clock) = (Vec::new(), Arc::new(FakeClock::new()));
        let (client_is_revoked, denies, refuses_all) = (false, false, false);
        let state = State { issued, revoked: 0, refusal, client_is_revoked, denies, refuses_all, calls: 0 };
        Platform { clock, state: Arc::new(Mutex::new(state)) }
    }

    fn iam(&self) -> Iam {
        client_of(builder(), &self.clock, self.clone())
    }

    fn revoke_tokens(&self) {
        let mut state = self.state.lock();
        state.revoked = state.issued.len();
    }

    fn fetched(&self) -> usize {
        self.state.lock().issued.len()
    }
}

const LIFETIME: Duration = Duration::from_secs(3600);

impl Transport for Platform {
    fn call(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let (now, mut state) = (self.clock.now(), self.state.lock());
        let respond = |status, body: &str| Ok(Response::new(status, HeaderMap::new(), body.into()));
        if call.url.ends_with("/oauth2/token") {
            if state.client_is_revoked {
                return respond(401, r#"{"error":"invalid_client"}"#);
            }
            state.issued.push(now);
            let number = state.issued.len();
            return respond(200, &TOKEN.replace("token-1", &format!("token-{number}")));
        }
        state.calls += 1;
        let bearer = call.headers["authorization"].to_str().unwrap();
        let number: usize = bearer.strip_prefix("Bearer token-").unwrap().parse().unwrap();
        let is_expired = now.since(state.issued[number - 1]) >= LIFETIME;
        match state.refusal {
            (status, body) if is_expired || number <= state.revoked || state.refuses_all => respond(status, body),
            _ if state.denies => respond(403, ""),
            _ => respond(200, "[]"),
        }
    }
}

const FORMS: [(u16, &str); 3] = [(401, ""), (401, r#"{"error":"invalid_token"}"#), (403, "")];

#[test]
fn eight_threads_outlive_five_hundred_tokens_with_one_fetch_for_each_and_no_failed_call() {
    let platform = Platform::new((403, ""));
    let iam = platform.iam();
    let (start, end) = (Barrier::new(8), Barrier::new(8));
    thread::scope(|scope| {
        for number in 0..8 {
            let (iam, platform, start, end) = (&iam, &platform, &start, &end);
            scope.spawn(move || {
                for round in 0..500 {
                    start.wait();
                    for _ in 0..3 {
                        iam.user_groups("u-1").list().unwrap();
                    }
                    end.wait();
                    if number == 0 {
                        platform.clock.pass(LIFETIME);
                        assert_eq!(platform.fetched(), round + 1);
                    }
                }
            });
        }
    });
    assert_eq!((platform.fetched(), platform.state.lock().calls), (500, 500 * 8 * 3));
    assert_eq!(iam.counters().renewals, 0, "each was renewed before the service refused it");
}

#[test]
fn tokens_that_end_early_are_renewed_once_for_eight_threads_in_every_form_of_a_refusal() {
    for form in FORMS {
        let platform = Platform::new(form);
        let iam = platform.iam();
        iam.token().unwrap();
        platform.clock.pass(Duration::from_secs(61));
        platform.revoke_tokens();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| iam.user_groups("u-1").list().unwrap());
            }
        });
        assert_eq!(platform.fetched(), 2, "{form:?}");
        assert!(iam.counters().renewals >= 1, "{form:?}");
    }
}

#[test]
fn one_token_after_the_other_may_end_early_in_every_form_of_a_refusal() {
    for form in FORMS {
        let platform = Platform::new(form);
        let iam = platform.iam();
        iam.token().unwrap();
        for round in 1..=20 {
            platform.clock.pass(Duration::from_secs(61));
            platform.revoke_tokens();
            iam.user_groups("u-1").list().unwrap();
            assert_eq!((platform.fetched(), iam.counters().renewals), (round + 1, round as u64), "{form:?}");
        }
    }
}

#[test]
fn a_token_that_expires_between_two_clocks_is_renewed_without_a_failed_call() {
    for form in FORMS {
        let platform = Platform::new(form);
        let iam = platform.iam();
        for _ in 0..20 {
            iam.user_groups("u-1").list().unwrap();
            // The service's clock is ahead of the client's: by its own, the client would use the token for longer.
            platform.clock.pass(LIFETIME - Duration::from_secs(400));
            platform.revoke_tokens();
            iam.user_groups("u-1").list().unwrap();
            platform.clock.pass(LIFETIME);
        }
        assert!(platform.fetched() <= 40, "{form:?}: {}", platform.fetched());
    }
}

#[test]
fn what_the_service_says_of_the_request_itself_shows_that_the_denial_was_about_the_token() {
    let script = Script::default();
    script.respond(200, TOKEN);
    for (number, status) in [(2, 404), (3, 400), (4, 409), (5, 404)] {
        let body = format!(r#"{{"statusCode":{status},"message":"no such luck"}}"#);
        script
            .respond(403, "")
            .respond(200, &TOKEN.replace("token-1", &format!("token-{number}")))
            .respond(status, &body);
    }
    let (iam, clock) = scripted(&script, builder());
    iam.token().unwrap();
    for status in [404, 400, 409, 404] {
        clock.pass(Duration::from_secs(61));
        assert_eq!(iam.groups().get("g-1").unwrap_err().status(), Some(status));
    }
}

#[test]
fn a_stream_of_denials_costs_one_token_in_a_lifetime() {
    let platform = Platform::new((403, ""));
    let iam = platform.iam();
    iam.user_groups("u-1").list().unwrap();
    platform.state.lock().denies = true;
    platform.clock.pass(Duration::from_secs(61));
    for _ in 0..50 {
        let error = iam.user_groups("u-1").list().unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(403)));
        assert_eq!(Cause::of(&error), Cause::Credentials);
        let text = error.to_string();
        assert!(text.contains("a role with the permission iam.user.list-groups"), "{text}");
        assert!(text.contains("that it is a client of the tenant my-tenant"), "{text}");
        platform.clock.pass(Duration::from_secs(10));
    }
    assert_eq!(platform.fetched(), 2);
}

#[test]
fn a_denial_of_a_young_token_is_returned_at_once() {
    let platform = Platform::new((403, ""));
    let iam = platform.iam();
    platform.state.lock().denies = true;
    assert_eq!(iam.user_groups("u-1").list().unwrap_err().status(), Some(403));
    assert_eq!((platform.fetched(), platform.state.lock().calls), (1, 1));
}

#[test]
fn a_revoked_client_is_found_by_the_first_call_after_its_token_was_refused() {
    for form in FORMS {
        let platform = Platform::new(form);
        let iam = platform.iam();
        iam.user_groups("u-1").list().unwrap();
        platform.clock.pass(Duration::from_secs(61));
        platform.revoke_tokens();
        platform.state.lock().client_is_revoked = true;
        let error = iam.user_groups("u-1").list().unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Credentials, Some(401)), "{form:?}");
        assert_eq!((error.code(), Cause::of(&error)), (Some("invalid_client"), Cause::Credentials));
        let text = error.to_string();
        assert!(text.contains("for a client that is Pending or Revoked"), "{text}");
        let calls = platform.state.lock().calls;
        assert_eq!(calls, 2, "{form:?}: one with a good token, one that was refused");
    }
}

#[test]
fn a_refresh_fetches_whatever_is_held() {
    let platform = Platform::new((401, ""));
    let iam = platform.iam();
    assert_eq!(iam.token().unwrap().expose(), "token-1");
    assert_eq!(iam.token().unwrap().expose(), "token-1");
    iam.refresh().unwrap();
    iam.refresh().unwrap();
    assert_eq!((iam.token().unwrap().expose(), platform.fetched()), ("token-3", 3));
}

#[test]
fn a_service_that_refuses_every_token_is_asked_twice() {
    let script = Script::default();
    script.respond(200, TOKEN).respond(401, "").respond(200, ANOTHER).respond(401, "").respond(200, "[]");
    let (iam, _) = scripted(&script, builder());
    let error = iam.user_groups("u-1").list().unwrap_err();
    assert_eq!((error.kind(), script.lines().len()), (ErrorKind::Credentials, 4));
    assert_eq!(Cause::of(&error), Cause::TokenExpired);
    assert!(error.to_string().contains("OCMS client till-7 of https://auth.example/oauth2/token"), "{error}");
}

#[test]
fn a_service_that_refuses_new_tokens_too_costs_one_login_in_ten_seconds() {
    let platform = Platform::new((401, r#"{"message":"unknown token"}"#));
    let iam = platform.iam();
    platform.state.lock().refuses_all = true;
    let refused = || {
        let error = iam.user_groups("u-1").list().unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Credentials, Some(401)));
        assert!(error.to_string().contains("unknown token"), "{error}");
    };
    refused();
    assert_eq!((platform.fetched(), platform.state.lock().calls), (2, 2));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| refused()));
        }
    });
    assert_eq!((platform.fetched(), platform.state.lock().calls), (2, 2 + 8 * 20));
    platform.clock.pass(Duration::from_secs(10));
    refused();
    assert_eq!((platform.fetched(), platform.state.lock().calls), (3, 2 + 8 * 20 + 2));
    platform.state.lock().refuses_all = false;
    iam.user_groups("u-1").list().unwrap();
    assert_eq!(platform.fetched(), 3, "the service changed its mind, and the token was there");
}

#[test]
fn a_renewed_token_that_was_accepted_and_then_revoked_is_renewed_at_once() {
    let platform = Platform::new((401, ""));
    let iam = platform.iam();
    for round in 1..=20 {
        iam.user_groups("u-1").list().unwrap();
        assert_eq!(platform.fetched(), round);
        platform.revoke_tokens();
    }
}

#[test]
fn a_young_token_that_was_revoked_is_denied_until_it_is_refreshed() {
    let platform = Platform::new((403, ""));
    let iam = platform.iam();
    iam.token().unwrap();
    platform.clock.pass(Duration::from_secs(59));
    platform.revoke_tokens();
    let error = iam.user_groups("u-1").list().unwrap_err();
    assert_eq!((error.kind(), error.status(), platform.fetched()), (ErrorKind::Refused, Some(403), 1));
    iam.refresh().unwrap();
    iam.user_groups("u-1").list().unwrap();
    assert_eq!(platform.fetched(), 2);
}

#[test]
fn a_refused_login_is_repeated_for_ten_seconds_without_another_request() {
    let script = Script::default();
    script.respond(401, "").respond(200, TOKEN).respond(200, "[]");
    let (iam, clock) = scripted(&script, builder());
    for _ in 0..3 {
        assert_eq!(iam.user_groups("u-1").list().unwrap_err().code(), Some("invalid_client"));
        clock.pass(Duration::from_secs(3));
    }
    assert_eq!(script.lines().len(), 1);
    clock.pass(Duration::from_secs(2));
    iam.user_groups("u-1").list().unwrap();
}

#[test]
fn clones_share_the_token() {
    let platform = Platform::new((401, ""));
    let iam = platform.iam();
    let clone = iam.clone();
    iam.user_groups("u-1").list().unwrap();
    clone.user_groups("u-1").list().unwrap();
    assert_eq!((platform.fetched(), clone.counters()), (1, iam.counters()));
    assert_eq!(iam.counters().requests, 2);
}

#[test]
fn a_denial_renews_a_token_past_half_of_its_short_life() {
    for (age, fetched) in [(9, 1), (11, 2)] {
        let script = Script::default();
        let [first, second] = [TOKEN, ANOTHER].map(|token| token.replace("3600", "20"));
        script.respond(200, &first).respond(403, "").respond(200, &second).respond(200, "[]");
        let (iam, clock) = scripted(&script, builder());
        iam.token().unwrap();
        clock.pass(Duration::from_secs(age));
        assert_eq!(iam.user_groups("u-1").list().is_ok(), fetched == 2, "{age} s");
        assert_eq!(script.lines().iter().filter(|line| line.contains("/oauth2/token")).count(), fetched);
    }
}
