use std::collections::VecDeque;
use std::time::Duration;

use ::http::Method;
use parking_lot::Mutex;

use super::*;
use crate::auth::{Grant, TokenSource};
use crate::clock::{Clock, FakeClock};
use crate::http::{Origin, Script, Stage};

/// An API that takes a bearer token and nothing else.
#[derive(Debug)]
struct PlainBearer;

impl Dialect for PlainBearer {}

/// Returns these tokens and errors, one after the other.
#[derive(Debug)]
struct Tokens {
    results: Mutex<VecDeque<Result<&'static str, Error>>>,
    clock: Arc<FakeClock>,
}

impl TokenSource for Tokens {
    fn fetch(&self, _limits: Limits) -> Result<Grant, Error> {
        let bearer = self.results.lock().pop_front().unwrap()?;
        let origin = Origin::parse("https://api.example", "test URL").unwrap();
        let (lifetime, asked) = (Duration::from_secs(3600), self.clock.now());
        Ok(Grant { bearer: bearer.into(), origin, lifetime, asked, reread_after: None })
    }
}

/// Takes longer than the request has.
#[derive(Debug)]
struct Slow {
    clock: Arc<FakeClock>,
}

impl TokenSource for Slow {
    fn fetch(&self, limits: Limits) -> Result<Grant, Error> {
        assert_eq!(limits.deadline.unwrap().left(self.clock.now()), Duration::from_secs(5));
        self.clock.pass(Duration::from_secs(6));
        Tokens { results: Mutex::new([Ok("token-1")].into()), clock: self.clock.clone() }.fetch(Limits::unlimited())
    }
}

fn session(script: &Script) -> Session {
    session_with(script, [Ok("token-1"), Ok("token-2"), Ok("token-3")])
}

fn session_with(script: &Script, tokens: impl IntoIterator<Item = Result<&'static str, Error>>) -> Session {
    let clock = Arc::new(FakeClock::new());
    let source = Tokens { results: Mutex::new(tokens.into_iter().collect()), clock: clock.clone() };
    session_of(script, &clock, source)
}

fn session_of(script: &Script, clock: &Arc<FakeClock>, source: impl TokenSource + 'static) -> Session {
    Session::new(
        TokenCache::new(Box::new(source), clock.clone()),
        Arc::new(script.sender(clock, Duration::from_secs(30))),
        Arc::default(),
        Box::new(PlainBearer),
        Principal { identity: "client loader".into(), advice: "check its roles" },
    )
}

fn list_roles() -> Request<'static> {
    Request::new(Method::GET, "/v1/roles", "list the roles").query("limit=7".into())
}

#[test]
fn a_plain_service_gets_a_bearer_token_and_no_header_or_label_of_another_service() {
    let script = Script::default();
    script.respond(503, "").respond(200, "[]");
    assert_eq!(session(&script).send(&list_roles()).unwrap().body, b"[]");
    let sent = script.sent();
    assert_eq!(script.lines(), vec!["GET https://api.example/v1/roles?limit=7"; 2]);
    for request in sent {
        let names: Vec<_> = request.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["authorization"]);
        assert_eq!(request.headers["authorization"], "Bearer token-1");
        assert!(request.headers["authorization"].is_sensitive());
    }
}

#[test]
fn what_must_not_be_applied_twice_is_not_sent_with_another_token_after_a_broken_connection() {
    let script = Script::default();
    script.fail(Stage::Sending).respond(201, "");
    let create = Request::new(Method::POST, "/v1/roles", "create a role").body("application/json", b"{}");
    let error = session(&script).send(&create.replay(Replay::Once)).unwrap_err();
    assert_eq!((error.kind(), script.lines().len()), (ErrorKind::Unconfirmed, 1));
    let script = Script::default();
    script.respond(401, "").respond(201, "");
    let create = Request::new(Method::POST, "/v1/roles", "create a role").body("application/json", b"{}");
    assert_eq!(
        session(&script).send(&create.replay(Replay::Once)).unwrap().status,
        201,
        "it was refused, so not applied"
    );
}

#[test]
fn a_token_that_a_plain_service_refuses_is_renewed_once() {
    let script = Script::default();
    script.respond(401, "").respond(200, "[]");
    let session = session(&script);
    session.send(&list_roles()).unwrap();
    let tokens: Vec<_> = script.sent().iter().map(|sent| sent.headers["authorization"].clone()).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2"]);
    let counters = session.counters().snapshot();
    assert_eq!((counters.requests, counters.retries, counters.renewals), (2, 1, 1));
}

#[test]
fn a_second_refusal_is_an_error_with_a_diagnosis_and_without_an_id_that_was_never_sent() {
    let script = Script::default();
    script.respond(401, "").respond(401, r#"{"error":"invalid_token"}"#).respond(200, "[]");
    let error = session(&script).send(&list_roles()).unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Credentials, Some(401), 2));
    assert_eq!(
        error.to_string(),
        "could not list the roles: invalid_token (HTTP 401, invalid_token, 2 attempts); client loader; no clock \
         difference found; check its roles"
    );
    assert_eq!(script.lines().len(), 2);
}

#[test]
fn a_bare_403_for_a_young_token_is_the_response() {
    let script = Script::default();
    script.respond(403, "").respond(200, "[]");
    let error = session(&script).send(&list_roles()).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Credentials, 1));
}

fn failed_renewal() -> Error {
    Error::new(ErrorKind::Unavailable, "the server fails")
        .attempting("get an access token")
        .with_status(503)
        .with_attempts(4)
        .advise("try again later")
}

#[test]
fn a_failed_renewal_is_the_error_of_the_request() {
    let script = Script::default();
    script.respond(401, "");
    let error = session_with(&script, [Ok("token-1"), Err(failed_renewal())]).send(&list_roles()).unwrap_err();
    assert_eq!(error.to_string(), failed_renewal().to_string());
}

#[test]
fn without_another_token_the_refusal_is_the_error_and_is_reported_again_without_a_request() {
    let script = Script::default();
    script.respond(401, r#"{"message":"unknown token"}"#);
    let session = session_with(&script, [Ok("token-1"), Ok("token-1")]);
    for _ in 0..3 {
        let error = session.send(&list_roles()).unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Credentials, Some(401)));
        assert!(error.to_string().contains("unknown token (HTTP 401)"), "{error}");
    }
    assert_eq!(script.lines().len(), 1);
}

#[test]
fn a_renewal_that_failed_without_a_request_is_the_error_with_the_facts_of_the_refusal() {
    let script = Script::default();
    script.respond(401, r#"{"message":"unknown token"}"#);
    let local = Error::new(ErrorKind::Config, "the key file cannot be read");
    let error = session_with(&script, [Ok("token-1"), Err(local)]).send(&list_roles()).unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Config, Some(401), 1));
    assert_eq!(error.to_string(), "could not list the roles: the key file cannot be read (HTTP 401)");
}

#[test]
fn a_connection_that_breaks_while_sending_does_not_make_the_only_token_a_refused_one() {
    let script = Script::default();
    for _ in 0..4 {
        script.fail(Stage::Sending);
    }
    script.respond(200, "[]");
    let session = session_with(&script, [Ok("token-1"), Ok("token-1"), Ok("token-1")]);
    assert_eq!(session.send(&list_roles()).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(session.send(&list_roles()).is_ok());
}

#[test]
fn a_request_whose_time_ends_during_the_renewal_is_a_timeout_and_not_a_refusal() {
    let script = Script::default();
    script.respond(401, r#"{"message":"unknown token"}"#);
    let waited = Error::new(ErrorKind::Timeout, "another thread was still fetching the token");
    let error = session_with(&script, [Ok("token-1"), Err(waited)]).send(&list_roles()).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true), "{error}");
}

#[test]
fn a_request_whose_time_is_used_up_by_the_fetch_of_its_token_is_not_sent() {
    let (script, clock) = (Script::default(), Arc::new(FakeClock::new()));
    script.respond(200, "[]");
    let session = session_of(&script, &clock, Slow { clock: clock.clone() });
    let mut request = list_roles();
    request.timeout = Some(Duration::from_secs(5));
    let error = session.send(&request).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not list the roles: the time allowed for waiting ended before a response had arrived from api.example:443; wait longer, or \
         try again"
    );
    assert_eq!((error.kind(), error.attempts(), script.lines().len()), (ErrorKind::Timeout, 0, 0));
    let counters = session.counters().snapshot();
    assert_eq!((counters.requests, counters.retries), (0, 0));
}

#[test]
fn a_token_is_not_given_up_because_its_request_was_cut_off() {
    let script = Script::default();
    script.hang();
    let session = session(&script);
    let mut request = list_roles();
    request.timeout = Some(Duration::from_secs(5));
    assert_eq!(session.send(&request).unwrap_err().kind(), ErrorKind::Timeout);
    script.respond(200, "[]");
    session.send(&list_roles()).unwrap();
    assert_eq!(script.sent()[1].headers["authorization"], "Bearer token-1");
}

#[test]
fn a_cut_off_request_that_may_have_been_applied_is_unconfirmed() {
    let script = Script::default();
    script.hang();
    let mut request = Request::new(Method::POST, "/v1/roles", "create a role").replay(Replay::Untraceable);
    request.timeout = Some(Duration::from_secs(5));
    assert_eq!(session(&script).send(&request).unwrap_err().kind(), ErrorKind::Unconfirmed);
}

#[test]
fn a_failed_renewal_after_a_lost_response_leaves_the_request_unconfirmed() {
    let script = Script::default();
    script.fail(Stage::Receiving).respond(401, "");
    let request = Request::new(Method::POST, "/v1/roles", "create a role").replay(Replay::Untraceable);
    let error = session_with(&script, [Ok("token-1"), Err(failed_renewal())]).send(&request).unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Unconfirmed, Some(503), 4));
    assert_eq!(
        error.to_string(),
        "could not create a role: the request was sent and may have been applied, but no response confirmed it: could not \
         get an access token: the server fails (HTTP 503, 4 attempts); try again later; find out whether it was applied \
         before sending it again"
    );
}
