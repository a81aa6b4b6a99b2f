//! The login: discovery that fails or lies, and a token endpoint that refuses.

use snowpipe_streaming::ErrorKind;
use snowpipe_streaming::hiiretail::{Cause, Iam, Ocms};

use super::support::{CLIENT_ID, CLIENT_SECRET, Service, TENANT};

fn strict(service: &Service) -> Iam {
    let client = service.client().require_discovery();
    Iam::builder(TENANT, client).api_url(service.url()).max_retries(0).build().unwrap()
}

/// A document of the right issuer that names this token endpoint.
fn naming(service: &Service, token_endpoint: &str) -> String {
    format!(r#"{{"issuer":"{}","token_endpoint":"{token_endpoint}"}}"#, service.url())
}

#[test]
fn without_a_document_the_default_path_at_the_issuers_host_is_used() {
    for (status, body) in [(404, ""), (503, ""), (200, "<html>Sign in</html>"), (200, "[]"), (200, "{}"), (302, "")] {
        let service = Service::start();
        service.discover(status, body);
        assert_eq!(service.iam().token().unwrap().expose(), "token-1", "{status} {body}");
        assert_eq!(service.lines().last().unwrap(), "POST /oauth2/token");
    }
}

#[test]
fn a_document_that_names_another_host_gets_no_secret_sent_there() {
    let (service, thief) = (Service::start(), Service::start());
    service.discover(200, &naming(&service, &format!("{}/oauth2/token", thief.url())));
    assert_eq!(service.iam().token().unwrap().expose(), "token-1", "the issuer's own endpoint");
    let error = strict(&service).token().unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), Cause::of(&error)),
        (ErrorKind::Protocol, Some("discovery_failed"), Cause::Discovery)
    );
    assert!(error.to_string().contains("its token endpoint is at another host"), "{error}");
    assert_eq!(thief.lines().len(), 0);
}

#[test]
fn the_login_is_at_the_authorization_server_alone_and_calls_at_the_api_alone() {
    let (auth, api) = (Service::start(), Service::start());
    let iam = Iam::builder(TENANT, auth.client()).api_url(api.url()).build().unwrap();
    iam.groups().members("g-1").unwrap();
    assert_eq!(auth.lines(), ["GET /.well-known/openid-configuration", "POST /oauth2/token"]);
    assert_eq!(api.lines(), ["GET /api/v1/tenants/my-tenant/groups/g-1/users"]);
}

#[test]
fn a_document_without_encryption_or_of_another_issuer_gets_no_secret_sent() {
    for body in [
        r#"{"issuer":"ISSUER","token_endpoint":"http://auth.example/oauth2/token"}"#,
        r#"{"issuer":"https://evil.example","token_endpoint":"ISSUER/oauth2/token"}"#,
        r#"{"issuer":"ISSUER","token_endpoint":"ISSUER/oauth2/token","grant_types_supported":["password"]}"#,
        r#"{"issuer":"ISSUER"}"#,
        r#"{"issuer":"ISSUER","token_endpoint":"file:///etc/passwd"}"#,
    ] {
        let service = Service::start();
        service.discover(200, &body.replace("ISSUER", &service.url()));
        let error = strict(&service).token().unwrap_err();
        assert_eq!(
            (Cause::of(&error), Cause::of(&error).code()),
            (Cause::Discovery, "discovery_failed"),
            "{body}: {error}"
        );
        assert_eq!(service.lines(), ["GET /.well-known/openid-configuration"], "{body}");
    }
}

#[test]
fn a_document_that_is_down_is_an_error_only_where_it_is_required() {
    for status in [404, 503] {
        let service = Service::start();
        service.discover(status, "");
        let error = strict(&service).token().unwrap_err();
        assert_eq!((error.code(), error.status()), (Some("discovery_failed"), Some(status)), "{error}");
    }
}

#[test]
fn a_given_token_url_needs_no_document() {
    let service = Service::start();
    let client = Ocms::new(CLIENT_ID, CLIENT_SECRET).token_url(format!("{}/oauth2/token", service.url()));
    let iam = Iam::builder(TENANT, client.scopes(["iam:read", "iam:write"]).audience("https://other.example"));
    iam.api_url(service.url()).build().unwrap().token().unwrap();
    assert_eq!(service.lines(), ["POST /oauth2/token"]);
    let body = "grant_type=client_credentials&scope=iam%3Aread+iam%3Awrite&audience=https%3A%2F%2Fother.example";
    assert_eq!(service.sent()[0].body, body);
}

#[test]
fn a_refused_client_is_asked_once_and_told_both_reasons() {
    for body in [r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#, ""] {
        let service = Service::start();
        service.respond_to_login(401, body).respond_to_login(401, body);
        let iam = service.builder().max_retries(10).build().unwrap();
        for _ in 0..3 {
            let error = iam.groups().get("g-1").unwrap_err();
            assert_eq!(
                (error.kind(), error.status(), error.code()),
                (ErrorKind::Credentials, Some(401), Some("invalid_client"))
            );
            assert_eq!(Cause::of(&error), Cause::Credentials);
            let text = error.to_string();
            assert!(text.contains("a wrong secret and for a client that is Pending or Revoked"), "{text}");
            assert!(text.starts_with("could not get an access token at http://"), "{text}");
        }
        assert_eq!(service.lines()[1..], ["POST /oauth2/token"], "the refusal is remembered for a while");
    }
}

#[test]
fn other_refusals_of_the_token_endpoint_have_their_own_causes() {
    for (status, code, cause) in [
        (400, "invalid_request", Cause::Configuration),
        (400, "unsupported_grant_type", Cause::Configuration),
        (403, "invalid_scope", Cause::Credentials),
        (500, "server_error", Cause::ServerError),
    ] {
        let service = Service::start();
        service.respond_to_login(status, &format!(r#"{{"error":"{code}"}}"#));
        let error = service.iam().token().unwrap_err();
        assert_eq!((Cause::of(&error), error.status()), (cause, Some(status)), "{error}");
        assert!(!error.to_string().contains("Pending"), "{error}");
    }
}

#[test]
fn a_secret_that_has_changed_in_its_file_is_read_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "the-first-secret\n").unwrap();
    let service = Service::start();
    let secret = snowpipe_streaming::ClientSecret::from_file(file.path());
    let client = Ocms::new(CLIENT_ID, secret).issuer(service.url());
    let iam = Iam::builder(TENANT, client).api_url(service.url()).build().unwrap();
    std::fs::write(file.path(), "the-second-secret\n").unwrap();
    service.respond_to_login(401, r#"{"error":"invalid_client"}"#);
    assert_eq!(iam.token().unwrap().expose(), "token-1");
    // till-7:the-second-secret
    assert_eq!(service.sent()[2].header("authorization"), Some("Basic dGlsbC03OnRoZS1zZWNvbmQtc2VjcmV0"));
}

#[test]
fn a_refused_login_is_about_the_client_whatever_code_it_has() {
    for body in
        [r#"{"statusCode":401,"message":"Unauthorized","error":"Unauthorized"}"#, r#"{"error":"invalid_grant"}"#]
    {
        let service = Service::start();
        service.respond_to_login(401, body);
        let error = service.iam().groups().get("g-1").unwrap_err();
        assert_eq!((error.kind(), Cause::of(&error)), (ErrorKind::Credentials, Cause::Credentials), "{body}");
        assert!(error.to_string().contains("Pending or Revoked"), "{error}");
    }
}
