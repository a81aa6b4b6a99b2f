use super::*;

use crate::clock::FakeClock;
use crate::http::Script;

const HOUR: Duration = Duration::from_secs(3600);

struct Setup {
    clock: Arc<FakeClock>,
    script: Script,
    discovery: Discovery,
}

impl Setup {
    fn new(issuer: &str) -> Setup {
        let (clock, script) = (Arc::new(FakeClock::new()), Script::default());
        let sender = Arc::new(script.sender(&clock, Duration::from_secs(2)));
        let discovery = Discovery::new(Issuer::parse(issuer).unwrap(), sender, clock.clone());
        Setup { clock, script, discovery }
    }

    fn find(&self) -> Result<String, Error> {
        self.discovery.token_endpoint(Limits::unlimited(), None).map(|endpoint| endpoint.to_string())
    }
}

fn document(issuer: &str, token_endpoint: &str) -> String {
    format!(r#"{{"issuer":"{issuer}","token_endpoint":"{token_endpoint}","unknown":[],"jwks_uri":null}}"#)
}

/// The result of one request with this response.
fn once(issuer: &str, status: u16, body: &str) -> Result<String, Error> {
    let setup = Setup::new(issuer);
    setup.script.respond(status, body);
    setup.find()
}

#[test]
fn the_document_is_read_below_the_issuer_without_credentials() {
    for (issuer, url) in [
        ("https://a.example", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/tenant", "https://a.example/tenant/.well-known/openid-configuration"),
        ("https://a.example/tenant/", "https://a.example/tenant/.well-known/openid-configuration"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/.well-known/openid-configuration"),
    ] {
        let setup = Setup::new(issuer);
        let scheme = issuer.split("://").next().unwrap();
        setup.script.respond(200, &document(issuer, &format!("{scheme}://localhost/token")));
        assert_eq!(setup.find().unwrap(), format!("{scheme}://localhost/token"));
        assert_eq!(setup.script.lines(), [format!("GET {url}")]);
        assert!(!setup.script.sent()[0].headers.contains_key("authorization"));
    }
}

#[test]
fn an_endpoint_at_another_host_is_refused_where_only_the_issuers_own_is_allowed() {
    let here = Issuer::parse("https://a.example/x").unwrap().with_endpoint_at(EndpointHosts::Issuer);
    assert!(checked("https://a.example/oauth2/token", &here).is_ok());
    for elsewhere in ["https://b.example/oauth2/token", "https://a.example:8443/t", "http://a.example/t"] {
        let error = checked(elsewhere, &here).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    assert!(checked("https://b.example/t", &Issuer::parse("https://a.example").unwrap()).is_ok());
}

#[test]
fn a_failed_discovery_has_a_code() {
    let setup = Setup::new("https://a.example");
    setup.script.respond(404, "");
    assert_eq!(setup.find().unwrap_err().code(), Some("discovery_failed"));
}

#[test]
fn an_issuer_is_compared_byte_for_byte_except_for_the_slash_of_an_empty_path() {
    for (ours, theirs, same) in [
        ("https://a.example", "https://a.example", true),
        ("https://a.example", "https://a.example/", true),
        ("https://a.example/", "https://a.example", true),
        ("https://a.example/x", "https://a.example/x", true),
        ("https://a.example/x", "https://a.example/x/", false),
        ("https://a.example", "https://A.example", false),
        ("https://a.example", "https://a.example:443", false),
        ("https://a.example", "https://evil.example", false),
        ("https://a.example", "https://a.example//", false),
        ("https://a.example", "", false),
    ] {
        let found = once(ours, 200, &document(theirs, "https://a.example/token"));
        assert_eq!(found.is_ok(), same, "{ours} {theirs}: {found:?}");
        if let Err(error) = found {
            assert!([ErrorKind::Refused, ErrorKind::Protocol].contains(&error.kind()), "{error}");
        }
    }
}

#[test]
fn an_invalid_issuer_is_refused_before_anything_is_sent() {
    for issuer in [
        "",
        "a.example",
        "http://a.example",
        "https://a.example?x",
        "https://a.example/#x",
        "https://a.example/.well-known/openid-configuration",
    ] {
        assert_eq!(Issuer::parse(issuer).unwrap_err().kind(), ErrorKind::Config, "{issuer}");
    }
}

#[test]
fn a_document_is_used_only_if_it_is_valid() {
    let issuer = "https://a.example";
    for (status, body, kind) in [
        (200, document(issuer, "http://a.example/token"), ErrorKind::Protocol),
        (200, document(issuer, "http://127.0.0.1/token"), ErrorKind::Protocol),
        (200, document(issuer, "/token"), ErrorKind::Protocol),
        (200, r#"{"issuer":"https://a.example"}"#.into(), ErrorKind::Protocol),
        (200, r#"{"issuer":"https://a.example","token_endpoint":null}"#.into(), ErrorKind::Protocol),
        (200, "<html>".into(), ErrorKind::Protocol),
        (404, "{}".into(), ErrorKind::Refused),
        (403, String::new(), ErrorKind::Refused),
        (302, String::new(), ErrorKind::Protocol),
        (429, String::new(), ErrorKind::Throttled),
        (503, String::new(), ErrorKind::Unavailable),
    ] {
        let setup = Setup::new(issuer);
        for _ in 0..20 {
            setup.script.respond(status, &body);
        }
        let error = setup.find().unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {:.80}: {error}", body);
        assert!(error.to_string().contains("could not find the token endpoint of https://a.example"), "{error}");
        assert_eq!((error.status(), error.attempts() as usize), (Some(status), setup.script.lines().len()), "{error}");
    }
}

#[test]
fn the_words_of_an_issuer_without_a_document_are_shown() {
    for (status, body) in [
        (404, r#"{"error":"Realm does not exist"}"#),
        (403, "<html><head><title>Realm does not exist</title></head></html>"),
        (503, r#"{"message":"Realm does not exist"}"#),
    ] {
        let setup = Setup::new("https://a.example");
        setup.script.respond(status, body).respond(501, body);
        let error = setup.find().unwrap_err();
        assert!(error.to_string().contains(": Realm does not exist (HTTP "), "{error}");
    }
}

#[test]
fn plain_http_is_named_by_the_document_of_this_machine_alone() {
    for (issuer, endpoint, is_used) in [
        ("http://127.0.0.1:1", "https://auth.example/t", true),
        ("http://127.0.0.1:1", "http://localhost:2/t", true),
        ("https://localhost", "http://127.0.0.1:1/t", true),
        ("https://a.example", "https://localhost/t", true),
        ("https://a.example", "http://127.0.0.1:1/t", false),
        ("http://127.0.0.1:1", "http://auth.example/t", false),
    ] {
        let found = once(issuer, 200, &document(issuer, endpoint));
        match is_used {
            true => assert_eq!(found.unwrap(), endpoint),
            false => {
                let error = found.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Protocol);
                assert!(error.to_string().contains("is not encrypted"), "{error}");
            }
        }
    }
}

#[test]
fn a_document_may_begin_with_a_byte_order_mark() {
    let body = format!("\u{feff}{}", document("https://a.example", "https://a.example/t"));
    assert_eq!(once("https://a.example", 200, &body).unwrap(), "https://a.example/t");
}

#[test]
fn a_missing_list_of_grants_is_accepted_and_one_without_ours_is_not() {
    let with = |grants: &str| {
        let body = format!(r#"{{"issuer":"https://a.example","token_endpoint":"https://a.example/t"{grants}}}"#);
        once("https://a.example", 200, &body)
    };
    assert!(with("").is_ok());
    assert!(with(r#","grant_types_supported":null"#).is_ok());
    assert!(with(r#","grant_types_supported":["authorization_code","client_credentials"]"#).is_ok());
    assert!(with(r#","grant_types_supported":[]"#).is_ok(), "an empty list is none (RFC 8414, section 2)");
    assert!(with(r#","grant_types_supported":"implicit client_credentials""#).is_ok());
    assert!(with(r#","grant_types_supported":{"client_credentials":true}"#).is_ok());
    let error = with(r#","grant_types_supported":["implicit"]"#).unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Refused, Some(200), 1));
}

#[test]
fn a_document_is_kept_as_long_as_the_server_says_within_bounds() {
    for (directives, minutes) in [
        ("", 60),
        ("public, max-age=1800", 30),
        ("Max-Age=1800", 30),
        ("max-age=\"1800\"", 30),
        ("s-maxage=7200,max-age=1800", 30),
        ("max-age=1", 5),
        ("max-age=99999999", 1440),
        ("max-age=soon", 60),
        ("no-store", 60),
    ] {
        let setup = Setup::new("https://a.example");
        let body = document("https://a.example", "https://a.example/t");
        for _ in 0..2 {
            setup.script.respond_with(200, &[("cache-control", directives)], &body);
        }
        setup.find().unwrap();
        setup.clock.pass(Duration::from_secs(minutes * 60 - 1));
        setup.find().unwrap();
        assert_eq!(setup.script.lines().len(), 1, "{directives}");
        setup.clock.pass(Duration::from_secs(1));
        setup.find().unwrap();
        assert_eq!(setup.script.lines().len(), 2, "{directives}");
    }
}

#[test]
fn a_cached_endpoint_is_used_for_a_day_while_the_issuer_cannot_be_reached() {
    let setup = Setup::new("https://a.example");
    setup.script.respond(200, &document("https://a.example", "https://a.example/t"));
    setup.find().unwrap();
    setup.clock.pass(2 * HOUR);
    assert_eq!(setup.find().unwrap(), "https://a.example/t");
    setup.script.respond(404, "{}");
    assert_eq!(setup.find().unwrap_err().kind(), ErrorKind::Refused, "a response is not an outage");
    setup.clock.pass(22 * HOUR);
    assert_eq!(setup.find().unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn an_endpoint_that_moves_to_another_host_is_not_followed() {
    let setup = Setup::new("https://a.example");
    setup.script.respond(200, &document("https://a.example", "https://a.example/t"));
    setup.find().unwrap();
    setup.clock.pass(HOUR);
    setup.script.respond(200, &document("https://a.example", "https://evil.example/t"));
    let error = setup.find().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("https://evil.example"), "{error}");
    setup.script.respond(200, &document("https://a.example", "https://a.example/t2"));
    assert_eq!(setup.find().unwrap(), "https://a.example/t2", "another path on the same host is no move");
}

#[test]
fn an_endpoint_that_moves_during_an_outage_of_a_week_is_not_followed_either() {
    let setup = Setup::new("https://a.example");
    setup.script.respond(200, &document("https://a.example", "https://a.example/t"));
    setup.find().unwrap();
    setup.clock.pass(7 * 24 * HOUR);
    assert_eq!(setup.find().unwrap_err().kind(), ErrorKind::Unavailable);
    setup.script.respond(200, &document("https://a.example", "https://evil.example/t"));
    assert_eq!(setup.find().unwrap_err().kind(), ErrorKind::Protocol);
}

#[test]
fn each_line_of_cache_control_counts() {
    let setup = Setup::new("https://a.example");
    let body = document("https://a.example", "https://a.example/t");
    let lines = [("cache-control", "public"), ("cache-control", "max-age=1800")];
    setup.script.respond_with(200, &lines, &body);
    setup.find().unwrap();
    setup.clock.pass(HOUR / 2 - Duration::from_secs(1));
    setup.find().unwrap();
    setup.clock.pass(Duration::from_secs(1));
    setup.script.respond_with(200, &lines, &body);
    setup.find().unwrap();
    assert_eq!(setup.script.lines().len(), 2);
}
