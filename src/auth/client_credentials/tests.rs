use super::*;
use crate::auth::TokenCache;

use crate::clock::FakeClock;
use crate::http::{Script, Stage};

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
        let origin = Origin::parse("https://account.example", "account URL").unwrap();
        client.source(origin, self.clock.clone(), &|_| Ok(self.script.sender(&self.clock, Duration::from_secs(2))))
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
fn without_a_given_endpoint_the_failed_discovery_is_the_error() {
    let setup = Setup::new();
    setup.script.respond(404, "{}");
    let error = setup.source(&of_issuer()).unwrap().fetch(Limits::unlimited()).unwrap_err();
    assert_eq!((error.kind(), setup.script.lines().len()), (ErrorKind::Config, 1));
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
    let client = client();
    let origin = Origin::parse("https://account.example", "account URL").unwrap();
    let connect = |_: &Origin| Ok(setup.script.sender(&setup.clock, Duration::from_secs(120)));
    let source = client.source(origin, setup.clock.clone(), &connect).unwrap();
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
