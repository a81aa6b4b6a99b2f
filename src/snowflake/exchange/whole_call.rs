//! Whole calls of a client: a login with an authorization server, the exchange, and a request, with all their retries.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::auth::{ClientCredentials, TokenCache};
use crate::clock::{Clock, FakeClock, ServerClock};
use crate::error::ErrorKind;
use crate::http::{Replay, Script, Stage};
use crate::session::Principal;
use crate::snowflake::account::Account;
use crate::snowflake::api::{PipeName, channel_statuses};
use crate::snowflake::credentials::Credentials;
use crate::snowflake::dialect::SnowflakeDialect;
use crate::stop::{Stop, StopHandle};

const BUDGET: Duration = Duration::from_secs(100);
const TOKEN: &str = r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#;
const HOST: &str = "x.snowflakecomputing.com";
const STATUSES: &str = r#"{"channel_statuses":{}}"#;
/// The responses of a call that begins without tokens, in order.
const CALL: [&str; 5] = [
    r#"{"issuer":"https://auth.example","token_endpoint":"https://auth.example/token"}"#,
    TOKEN,
    HOST,
    "scoped-token",
    STATUSES,
];

/// A client whose requests all go to the script.
struct Bench {
    script: Script,
    clock: Arc<FakeClock>,
    ingest: Session,
}

impl Bench {
    fn of_an_oauth_client() -> Bench {
        Bench::new(&Credentials::client_credentials(ClientCredentials::of_issuer(
            "https://auth.example",
            "loader",
            "open sesame",
        )))
    }

    fn new(credentials: &Credentials) -> Bench {
        let (script, clock) = (Script::default(), Arc::new(FakeClock::new()));
        let origin = Origin::parse("https://a.snowflakecomputing.com", "account URL").unwrap();
        let server_clock = Arc::new(ServerClock::default());
        let context = LoginContext { origin, clock: clock.clone(), server_clock: server_clock.clone() };
        let account = Account::parse("myorg-account1").unwrap();
        let (its_script, its_clock) = (script.clone(), clock.clone());
        let connect = move |_: &Origin| Ok(its_script.sender(&its_clock, BUDGET));
        let source = credentials.source(&account, context.clone(), Arc::new(connect)).unwrap();
        let session = |cache, dialect| {
            let principal = Principal { identity: "client loader".into(), advice: "check that it trusts the issuer" };
            let sender = Arc::new(script.sender(&clock, BUDGET));
            Session::new(cache, sender, Arc::default(), Box::new(dialect), principal)
        };
        let login = credentials.kind();
        let control = session(TokenCache::new(source, clock.clone()), SnowflakeDialect::Control(login));
        let exchange = Arc::new(TokenExchange { control: Arc::new(control), context, role: None, login });
        let scoped = TokenCache::new(Box::new(exchange), clock.clone());
        let ingest = session(scoped, SnowflakeDialect::Ingest);
        Bench { script, clock, ingest }
    }

    /// Asks for the status of a channel, and says how long it took.
    fn call(&self, timeout: impl Into<Option<Duration>>) -> (Result<(), Error>, Duration) {
        let pipe = PipeName { database: "D".into(), schema: "S".into(), pipe: "P".into(), table: None };
        let began = self.clock.now();
        let result = channel_statuses(&self.ingest, &pipe, &["c"], timeout.into()).map(drop);
        (result, self.clock.now().since(began))
    }

    /// What a call without tokens needs, up to the scoped token.
    fn respond_to_login(&self) {
        for body in &CALL[..4] {
            self.script.respond(200, body);
        }
    }
}

#[test]
fn a_call_has_one_retry_budget_for_its_login_its_exchange_and_its_request() {
    for failing in 0..CALL.len() {
        let bench = Bench::of_an_oauth_client();
        for body in &CALL[..failing] {
            // Each of them fails for a while before it succeeds.
            for _ in 0..3 {
                bench.script.respond(503, "");
            }
            bench.script.respond_with(429, &[("retry-after", "15")], "").respond(200, body);
        }
        for _ in 0..1000 {
            bench.script.respond(503, "");
        }
        let (result, took) = bench.call(None);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(took <= BUDGET, "{failing}: {took:?}");
    }
}

#[test]
fn a_stop_ends_a_call_in_any_part_of_its_login() {
    for failing in 0..CALL.len() {
        let (mut bench, handle) = (Bench::of_an_oauth_client(), StopHandle::new());
        bench.ingest = bench.ingest.stopped_by(Stop::by(&handle));
        for body in &CALL[..failing] {
            bench.script.respond(200, body);
        }
        bench.script.respond_with(429, &[("retry-after", "90")], "").respond(200, CALL[failing]);
        bench.clock.stop_after(Duration::from_secs(45), &handle);
        let (result, took) = bench.call(None);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Stopped, 1), "{failing}: {error}");
        assert!(error.to_string().contains("the last attempt ended with: HTTP 429"), "{error}");
        assert_eq!(bench.script.lines().len(), failing + 1, "no request follows");
        assert!(took < Duration::from_secs(46), "{failing}: {took:?}");
        assert_eq!(bench.call(None).0.unwrap_err().kind(), ErrorKind::Stopped);
        assert_eq!(bench.script.lines().len(), failing + 1, "nor does one of a later call");
    }
}

#[test]
fn a_call_whose_attempts_hang_in_turn_ends_with_its_budget_and_the_attempt_in_progress() {
    let bench = Bench::of_an_oauth_client();
    for body in CALL {
        bench.script.hang().respond(200, body);
    }
    let (result, took) = bench.call(None);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
    let attempt = Duration::from_secs(60);
    assert!(took <= BUDGET + attempt, "{took:?}");
    assert_eq!(bench.script.lines().len(), 3, "the login took its time from the discovery, and nothing was left");
}

#[test]
fn the_timeout_of_a_call_bounds_the_renewal_of_its_token() {
    for renewing in 0..2 {
        let bench = Bench::of_an_oauth_client();
        bench.respond_to_login();
        bench.script.respond(401, "");
        for body in &CALL[2..2 + renewing] {
            bench.script.respond(200, body);
        }
        bench.script.hang();
        let (result, took) = bench.call(Duration::from_secs(7));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(took, Duration::from_secs(7));
    }
}

#[test]
fn a_failure_inside_a_success_does_not_settle_whether_the_attempt_before_was_applied() {
    let bench = Bench::of_an_oauth_client();
    bench.respond_to_login();
    bench.script.respond(503, "").respond(200, r#"{"status_code":5,"message":"no"}"#);
    let request = Request::new(Method::DELETE, "/v2/c", "drop channel c").replay(Replay::Untraceable);
    let error = bench.ingest.send(&request).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unconfirmed, 2), "{error}");
    assert!(error.to_string().contains("failure 5 inside a success: no"), "{error}");
}

#[test]
fn a_client_that_was_revoked_is_reported_as_that_and_not_as_an_untrusted_issuer() {
    let bench = Bench::of_an_oauth_client();
    bench.respond_to_login();
    // The ingest host refuses the scoped token, the account the access token, the authorization server the client.
    bench.script.respond(401, "").respond(401, r#"{"code":"390303","message":"invalid token"}"#);
    bench.script.respond(400, r#"{"error":"invalid_client","error_description":"the client was revoked"}"#);
    let error = bench.call(None).0.unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Credentials, Some(400), 1));
    let text = error.to_string();
    assert!(text.starts_with("could not get an access token at https://auth.example/token:"), "{text}");
    assert!(text.contains("the client was revoked") && !text.contains("trusts the issuer"), "{text}");
}

#[test]
fn a_foreign_host_in_an_exchange_is_reported_with_what_was_sent_and_not_as_a_pipe_that_moved() {
    let bench = Bench::of_an_oauth_client();
    bench.respond_to_login();
    bench.script.respond(410, "").fail(Stage::Connecting).respond(200, "evil.example");
    let error = bench.call(None).0.unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Protocol, Some(200), 2));
    let id = error.request_id().unwrap();
    assert!(bench.script.lines().last().unwrap().contains(id));
    assert_eq!(
        error.to_string(),
        format!(
            "could not find the ingest host: the ingest host \"evil.example\" lies outside the service's domain (HTTP 200, \
             2 attempts, request {id}); no token was sent there; check the account URL and which server responds at it"
        )
    );
}

#[test]
fn clocks_that_differ_are_reported_with_their_difference_and_cost_one_login_for_ten_calls() {
    let key = crate::auth::PrivateKey::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/plain.p8"));
    let bench = Bench::new(&Credentials::key_pair("LOADER", key.unwrap()));
    let date = bench.clock.now().wall + Duration::from_secs(7200);
    let date = httpdate::fmt_http_date(date);
    for _ in 0..20 {
        let refusal = r#"{"code":"394302","message":"JWT_TOKEN_INVALID_ISSUE_TIME"}"#;
        bench.script.respond_with(401, &[("date", &date)], refusal);
    }
    for _ in 0..10 {
        let error = bench.call(None).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Clock);
        let text = error.to_string();
        let number = text.split("the server's clock is +").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!((7199..=7200).contains(&number.parse().unwrap()), "{text}");
        assert!(text.contains(" s from this machine's; set this machine's clock by NTP"), "{text}");
    }
    assert_eq!(bench.script.lines().len(), 2, "one login and its repetition with the server's time");
}
