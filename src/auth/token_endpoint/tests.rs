mod rotation;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use super::*;
use crate::auth::{ClientAuthentication, ClientCredentials, TokenCache};
use crate::clock::{Clock, FakeClock};
use crate::http::{Limits, Origin, Script, Stage};

const SECRET: &str = "s3cr3t:/ +ü";
const ISSUED: &str = r#"{"access_token":"abc","token_type":"Bearer","expires_in":3600}"#;

struct Setup {
    clock: Arc<FakeClock>,
    script: Script,
}

impl Setup {
    fn new() -> Setup {
        Setup { clock: Arc::new(FakeClock::new()), script: Script::default() }
    }

    fn source(&self, client: &ClientCredentials) -> Result<TokenEndpoint, Error> {
        self.patient(client, Duration::from_secs(2))
    }

    fn patient(&self, client: &ClientCredentials, budget: Duration) -> Result<TokenEndpoint, Error> {
        let origin = Origin::parse("https://account.example", "account URL").unwrap();
        let (script, clock) = (self.script.clone(), self.clock.clone());
        let connect = move |_: &Origin| Ok(script.sender(&clock, budget));
        TokenEndpoint::new(client.clone(), origin, self.clock.clone(), Arc::new(connect))
    }
}

fn client() -> ClientCredentials {
    ClientCredentials::at("https://auth.example/oauth2/token", "my id", SECRET)
}

fn of_issuer() -> ClientCredentials {
    ClientCredentials::of_issuer("https://auth.example", "my id", SECRET)
}

#[test]
fn the_client_sends_form_encoded_basic_credentials_and_nothing_more_than_needed() {
    let setup = Setup::new();
    setup.script.respond(200, ISSUED);
    let grant = setup.source(&client()).unwrap().fetch(Limits::unlimited()).unwrap();
    let sent = &setup.script.sent()[0];
    assert_eq!(sent.line, "POST https://auth.example/oauth2/token");
    assert_eq!(sent.body, "grant_type=client_credentials");
    assert_eq!(sent.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        sent.headers["authorization"],
        format!("Basic {}", STANDARD.encode("my+id:s3cr3t%3A%2F+%2B%C3%BC")),
        "RFC 6749, section 2.3.1"
    );
    assert!(sent.headers["authorization"].is_sensitive());
    assert_eq!((grant.bearer.expose(), grant.lifetime), ("abc", Duration::from_secs(3600)));
    assert_eq!(grant.origin.to_string(), "https://account.example");
}

#[test]
fn scope_and_audience_are_sent_when_given() {
    let setup = Setup::new();
    setup.script.respond(200, ISSUED).respond(200, ISSUED);
    let scoped = client().scope("session:role:INGEST offline").audience("https://api.example");
    setup.source(&scoped).unwrap().fetch(Limits::unlimited()).unwrap();
    setup.source(&client().scope("").audience(" ")).unwrap().fetch(Limits::unlimited()).unwrap();
    let bodies: Vec<_> = setup.script.sent().into_iter().map(|sent| sent.body).collect();
    assert_eq!(
        bodies,
        [
            "grant_type=client_credentials&scope=session%3Arole%3AINGEST+offline&audience=https%3A%2F%2Fapi.example",
            "grant_type=client_credentials",
        ]
    );
}

#[test]
fn credentials_are_sent_in_the_body_or_unencoded_only_if_so_configured() {
    let setup = Setup::new();
    setup.script.respond(200, ISSUED).respond(200, ISSUED);
    setup.source(&client().authentication(ClientAuthentication::Body)).unwrap().fetch(Limits::unlimited()).unwrap();
    setup
        .source(&client().authentication(ClientAuthentication::BasicUnencoded))
        .unwrap()
        .fetch(Limits::unlimited())
        .unwrap();
    let sent = setup.script.sent();
    assert_eq!(sent[0].body, "grant_type=client_credentials&client_id=my+id&client_secret=s3cr3t%3A%2F+%2B%C3%BC");
    assert!(!sent[0].headers.contains_key("authorization"), "never two methods at once");
    assert_eq!(sent[1].headers["authorization"], format!("Basic {}", STANDARD.encode(format!("my id:{SECRET}"))));
    assert_eq!(sent[1].body, "grant_type=client_credentials");
}

#[test]
fn the_token_endpoint_is_discovered_once_and_its_query_kept() {
    let setup = Setup::new();
    let document = r#"{"issuer":"https://auth.example","token_endpoint":"https://auth.example/t?tenant=1"}"#;
    setup.script.respond(200, document).respond(200, ISSUED).respond(200, ISSUED);
    let source = setup.source(&of_issuer()).unwrap();
    source.fetch(Limits::unlimited()).unwrap();
    source.fetch(Limits::unlimited()).unwrap();
    assert_eq!(
        setup.script.lines(),
        [
            "GET https://auth.example/.well-known/openid-configuration",
            "POST https://auth.example/t?tenant=1",
            "POST https://auth.example/t?tenant=1",
        ]
    );
}

#[test]
fn the_given_endpoint_is_used_when_discovery_fails() {
    let setup = Setup::new();
    setup.script.respond(404, "{}").respond(200, ISSUED);
    setup.source(&of_issuer().fallback("https://auth.example/given")).unwrap().fetch(Limits::unlimited()).unwrap();
    assert_eq!(setup.script.lines()[1], "POST https://auth.example/given");
}

#[test]
fn a_document_that_does_not_come_leaves_time_for_the_given_endpoint() {
    for (allowed, waited) in [(1000, 500), (2000, 1000), (30_000, 5000)] {
        let setup = Setup::new();
        setup.script.hang().respond(200, ISSUED);
        let client = of_issuer().fallback("https://auth.example/given");
        let source = setup.patient(&client, Duration::from_secs(60)).unwrap();
        let began = setup.clock.now();
        let deadline = began.deadline(Duration::from_millis(allowed));
        assert_eq!(source.fetch(Limits::until(deadline)).unwrap().bearer.expose(), "abc");
        assert_eq!(setup.clock.now().since(began), Duration::from_millis(waited));
        assert_eq!(setup.script.lines()[1], "POST https://auth.example/given");
    }
}

#[test]
fn without_a_given_endpoint_the_failed_discovery_is_the_error() {
    let setup = Setup::new();
    setup.script.respond(404, "{}");
    let error = setup.source(&of_issuer()).unwrap().fetch(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), setup.script.lines().len()), (ErrorKind::Refused, 1));
}

#[test]
fn a_refused_client_sends_one_request_even_for_many_callers() {
    for code in [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ] {
        let setup = Setup::new();
        setup.script.respond(400, &format!(r#"{{"error":"{code}"}}"#));
        let cache = TokenCache::new(Box::new(setup.source(&client()).unwrap()), setup.clock.clone());
        for _ in 0..5 {
            let error = cache.get(Limits::unlimited()).unwrap_err();
            assert!(!error.is_retryable() && error.code() == Some(code), "{error}");
        }
        assert_eq!(setup.script.lines().len(), 1, "{code}");
    }
}

#[test]
fn a_failing_server_is_tried_again_and_a_lost_response_does_no_harm() {
    let setup = Setup::new();
    setup
        .script
        .respond(503, "")
        .fail(Stage::Receiving)
        .respond_with(429, &[("retry-after", "0")], "")
        .respond(200, ISSUED);
    let source = setup.patient(&client(), Duration::from_secs(120)).unwrap();
    assert_eq!(source.fetch(Limits::unlimited()).unwrap().bearer.expose(), "abc");
    assert_eq!(setup.script.lines().len(), 4);
}

#[test]
fn a_redirect_is_not_followed() {
    let setup = Setup::new();
    setup.script.respond_with(307, &[("location", "https://evil.example/")], "");
    let error = setup.source(&client()).unwrap().fetch(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), setup.script.lines().len()), (ErrorKind::Protocol, 1));
}

#[test]
fn an_unknown_lifetime_is_read_from_the_token_or_assumed_to_be_short() {
    let setup = Setup::new();
    let now = setup.clock.now().wall.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let jwt = format!("{}.{}.x", part("{}"), part(&format!(r#"{{"exp":{}}}"#, now + 1800)));
    let response = |token: &str| format!(r#"{{"access_token":"{token}","token_type":"bearer"}}"#);
    setup.script.respond(200, &response(&jwt)).respond(200, &response("opaque"));
    let source = setup.source(&client()).unwrap();
    let lifetime = source.fetch(Limits::unlimited()).unwrap().lifetime.as_secs();
    assert!((1799..=1800).contains(&lifetime), "{lifetime}");
    assert_eq!(source.fetch(Limits::unlimited()).unwrap().lifetime, ASSUMED_LIFETIME);
}

#[test]
fn what_is_incomplete_or_unsafe_is_found_before_anything_is_sent() {
    let setup = Setup::new();
    for client in [
        ClientCredentials::at("https://a.example/t", "", "s"),
        ClientCredentials::at("https://a.example/t", "id", " "),
        ClientCredentials::at("https://a.example/t", "a\nb", "s"),
        ClientCredentials::at("https://a.example/t", "a:b", "s").authentication(ClientAuthentication::BasicUnencoded),
        ClientCredentials::at("http://a.example/t", "id", "s"),
        ClientCredentials::at("", "id", "s"),
        ClientCredentials::of_issuer("http://a.example", "id", "s"),
        ClientCredentials::of_issuer("https://a.example", "id", "s").fallback("http://a.example/t"),
    ] {
        assert_eq!(setup.source(&client).unwrap_err().kind(), ErrorKind::Config, "{client:?}");
    }
    assert!(setup.script.lines().is_empty());
}

#[test]
fn nothing_is_trimmed_from_id_and_secret() {
    for (authentication, sent) in [
        (ClientAuthentication::Body, "grant_type=client_credentials&client_id=+my+id+&client_secret=+s3cr3t%0A"),
        (ClientAuthentication::Basic, "+my+id+:+s3cr3t%0A"),
        (ClientAuthentication::BasicUnencoded, " my id : s3cr3t\n"),
    ] {
        let setup = Setup::new();
        setup.script.respond(200, ISSUED).respond(401, r#"{"error":"invalid_client"}"#);
        let client = ClientCredentials::at("https://auth.example/t", " my id ", " s3cr3t\n");
        let source = setup.source(&client.authentication(authentication)).unwrap();
        source.fetch(Limits::unlimited()).unwrap();
        let request = &setup.script.sent()[0];
        match request.headers.get("authorization") {
            None => assert_eq!(request.body, sent),
            Some(value) => assert_eq!(value, &format!("Basic {}", STANDARD.encode(sent))),
        }
        let error = source.fetch(Limits::unlimited()).unwrap_err();
        assert!(error.to_string().contains("begins or ends with white space"), "{error}");
    }
}

/// A source whose servers are these, and the origins that it connects to.
fn connected(client: &ClientCredentials, near: &Script, far: &Script) -> (TokenEndpoint, Arc<Mutex<Vec<String>>>) {
    let (clock, asked) = (Arc::new(FakeClock::new()), Arc::new(Mutex::new(Vec::new())));
    let (near, far, its_clock, noted) = (near.clone(), far.clone(), clock.clone(), asked.clone());
    let connect = move |origin: &Origin| {
        noted.lock().push(origin.to_string());
        let server = if origin.is_loopback() { &near } else { &far };
        Ok(server.sender(&its_clock, Duration::from_secs(2)))
    };
    let origin = Origin::parse("https://account.example", "account URL").unwrap();
    (TokenEndpoint::new(client.clone(), origin, clock, Arc::new(connect)).unwrap(), asked)
}

#[test]
fn issuer_and_token_endpoint_are_each_reached_on_a_way_of_their_own() {
    let (near, far) = (Script::default(), Script::default());
    near.respond(200, r#"{"issuer":"http://127.0.0.1:1","token_endpoint":"https://auth.example/t"}"#);
    far.respond(200, ISSUED).respond(200, ISSUED);
    let client = ClientCredentials::of_issuer("http://127.0.0.1:1", "my id", SECRET);
    let (source, asked) = connected(&client, &near, &far);
    assert_eq!(*asked.lock(), ["http://127.0.0.1:1"]);
    source.fetch(Limits::unlimited()).unwrap();
    source.fetch(Limits::unlimited()).unwrap();
    assert_eq!(*asked.lock(), ["http://127.0.0.1:1", "https://auth.example"]);
    assert_eq!(near.lines(), ["GET http://127.0.0.1:1/.well-known/openid-configuration"]);
    assert_eq!(far.lines(), ["POST https://auth.example/t"; 2]);
}

#[test]
fn an_issuer_with_its_token_endpoint_on_the_same_server_needs_one_connection() {
    let (near, far) = (Script::default(), Script::default());
    far.respond(200, r#"{"issuer":"https://auth.example","token_endpoint":"https://auth.example/t"}"#);
    far.respond(200, ISSUED);
    let (source, asked) = connected(&of_issuer().fallback("https://auth.example/given"), &near, &far);
    source.fetch(Limits::unlimited()).unwrap();
    assert_eq!(*asked.lock(), ["https://auth.example"]);
}

#[test]
fn a_server_that_fails_with_a_refusal_is_asked_once_and_quoted() {
    let setup = Setup::new();
    setup.script.respond(500, r#"{"error":"invalid_client","error_description":"no such client"}"#);
    let error = setup.source(&client()).unwrap().fetch(Limits::unlimited()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not get an access token at https://auth.example/oauth2/token: the server refused the client: \
         no such client (HTTP 500, invalid_client); check client id and secret, and the way they are sent"
    );
    assert_eq!(setup.script.lines().len(), 1);
}

#[test]
fn an_error_says_how_often_the_server_was_asked_and_what_it_said_last() {
    let setup = Setup::new();
    for _ in 0..100 {
        setup.script.respond(503, r#"{"error":"server_error","error_description":"no database"}"#);
    }
    let error = setup.source(&client()).unwrap().fetch(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unavailable, Some(503)));
    assert_eq!(error.attempts() as usize, setup.script.lines().len());
    assert!(error.to_string().contains("the server fails: no database (HTTP 503, server_error, "), "{error}");
}

#[test]
fn an_error_of_the_given_endpoint_says_that_discovery_failed_before() {
    let setup = Setup::new();
    setup.script.respond(404, "{}").respond(401, r#"{"error":"invalid_client"}"#);
    let client = of_issuer().fallback("https://auth.example/given");
    let error = setup.source(&client).unwrap().fetch(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("invalid_client")));
    let shown = error.to_string();
    assert!(shown.starts_with("could not get an access token at https://auth.example/given: "), "{shown}");
    assert!(shown.contains("discovery failed: could not find the token endpoint of https://auth.example: "), "{shown}");
}
