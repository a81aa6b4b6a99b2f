//! Discovery, keys and tokens of OCMS.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::sha2::{Digest, Sha256};
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use serde_json::json;
use snowpipe_emulator::HiiRetail;
use snowpipe_emulator::hiiretail::{ClientState, DiscoveryForm};

use super::{GRANT, anonymous, ask, logged_in, service, token};
use crate::support::request::Request;
use crate::support::{jwt_part, tls, unix_seconds};

const DISCOVERY: &str = "/.well-known/openid-configuration";

#[test]
fn the_discovery_document_has_the_url_as_issuer_and_other_forms_when_a_test_asks_for_them() {
    let service = service();
    let url = service.url().to_owned();
    let document = || anonymous(&service).send(Request::get(DISCOVERY));
    let usual = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/oauth2/auth"),
        "token_endpoint": format!("{url}/oauth2/token"),
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    assert_eq!(document().json(), usual);
    service.discover_as(DiscoveryForm::TrailingSlash);
    assert_eq!(document().json()["issuer"], format!("{url}/"));
    service.discover_as(DiscoveryForm::NoGrantTypes);
    assert!(!document().json().as_object().unwrap().contains_key("grant_types_supported"));
    service.discover_as(DiscoveryForm::OtherGrantTypes);
    assert_eq!(document().json()["grant_types_supported"], json!(["authorization_code"]));
    service.discover_as(DiscoveryForm::Issuer("https://elsewhere.example".to_owned()));
    assert_eq!(document().json()["issuer"], "https://elsewhere.example");
    service.discover_as(DiscoveryForm::TokenEndpoint("http://elsewhere.example/token".to_owned()));
    assert_eq!(document().json()["token_endpoint"], "http://elsewhere.example/token");
    service.discover_as(DiscoveryForm::Oversized);
    assert!(document().body.len() > 2_000_000);
    service.discover_as(DiscoveryForm::Absent);
    assert_eq!(document().status, 404);
}

#[test]
fn a_token_is_a_jwt_of_the_published_key_for_the_audience_that_was_asked_for() {
    let service = service();
    let before = unix_seconds();
    let response = ask(&service, "id", "secret", &format!("{GRANT}&scope=iam%3Aread+IAM%3Aread%3Aroles"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let granted = response.json();
    let token = granted["access_token"].as_str().unwrap();
    let expected = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "iam:read IAM:read:roles",
    });
    assert_eq!(granted, expected);

    let claims = jwt_part(token, 1);
    let issued = claims["iat"].as_i64().unwrap();
    assert!((before..=unix_seconds()).contains(&issued));
    let expected = json!({
        "iss": service.url(),
        "sub": "id",
        "client_id": "id",
        "aud": ["https://hiiretail.com"],
        "scp": ["iam:read", "IAM:read:roles"],
        "iat": issued,
        "nbf": issued,
        "exp": issued + 3600,
        "jti": claims["jti"],
    });
    assert_eq!(claims, expected);

    let keys = anonymous(&service).send(Request::get("/.well-known/jwks.json")).json();
    let jwk = &keys["keys"][0];
    let kid = jwk["kid"].as_str().unwrap();
    assert!(kid.starts_with("public:"), "{kid}");
    assert_eq!(jwt_part(token, 0), json!({"typ": "JWT", "alg": "RS256", "kid": kid}));
    let number = |name: &str| BigUint::from_bytes_be(&URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = RsaPublicKey::new(number("n"), number("e")).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(signed), &signature).unwrap();
}

#[test]
fn a_client_authenticates_by_header_or_by_form_and_never_by_both() {
    let service = HiiRetail::builder().client("the id", "s:cret").start().unwrap();
    let form = |form: &str| anonymous(&service).send(Request::post("/oauth2/token").form(form));
    assert_eq!(ask(&service, "the+id", "s%3Acret", GRANT).status, 200, "form-encoded before it is joined");
    assert_eq!(form(&format!("{GRANT}&client_id=the+id&client_secret=s%3Acret")).status, 200);

    let both = ask(&service, "the+id", "s%3Acret", &format!("{GRANT}&client_id=the+id&client_secret=s%3Acret"));
    assert_eq!((both.status, both.json()["error"].clone()), (400, json!("invalid_request")));
    let refused = json!({"error": "invalid_client", "error_description": "Client authentication failed."});
    for wrong in [
        ask(&service, "the+id", "other", GRANT),
        ask(&service, "other", "s%3Acret", GRANT),
        form(GRANT),
        form(&format!("{GRANT}&client_id=the+id&client_secret=other")),
    ] {
        assert_eq!((wrong.status, wrong.json()), (401, refused.clone()));
        assert_eq!(wrong.header("www-authenticate"), Some("Basic realm=\"ocms\""));
    }
    let reasons: Vec<_> = service.requests().into_iter().filter_map(|request| request.refusal).collect();
    let both = "invalid_request: The client authenticates in two ways at once.";
    assert_eq!(reasons, [both, "wrong secret", "unknown client", "no credentials", "wrong secret"]);
}

#[test]
fn a_request_for_a_token_is_refused_in_the_form_of_the_standard() {
    let service = service();
    let error = |form: &str| {
        let response = ask(&service, "id", "secret", form);
        (response.status, response.json()["error"].as_str().unwrap().to_owned())
    };
    assert_eq!(error("grant_type=password"), (400, "unsupported_grant_type".to_owned()));
    assert_eq!(error("audience=a"), (400, "invalid_request".to_owned()));
    assert_eq!(error(&format!("{GRANT}&scope=iam%3Aread+mail")), (403, "invalid_scope".to_owned()));
    let json = anonymous(&service).send(Request::post("/oauth2/token").json(r#"{"grant_type":"client_credentials"}"#));
    assert_eq!((json.status, json.json()["error"].clone()), (400, json!("invalid_request")));
}

#[test]
fn a_client_that_is_not_authorized_looks_like_one_with_a_wrong_secret() {
    let service = service();
    let wrong = ask(&service, "id", "other", GRANT);
    let token = token(&service);
    for state in [ClientState::Pending, ClientState::Revoked] {
        assert!(service.set_client_state("id", state));
        let refused = ask(&service, "id", "secret", GRANT);
        assert_eq!((refused.status, refused.json()), (wrong.status, wrong.json()));
        let reason = service.requests().pop().unwrap().refusal;
        assert_eq!(reason, Some(format!("the client is {state:?}")));
    }
    let client = crate::support::client::Client::at(service.url(), &token);
    assert_eq!(client.send(Request::get("/api/v1/roles")).status, 200, "a token stays good until it expires");
    assert!(service.set_client_state("id", ClientState::Authorized));
    assert_eq!(ask(&service, "id", "secret", GRANT).status, 200);
    service.set_client_secret("rotated");
    assert_eq!(ask(&service, "id", "secret", GRANT).status, 401);
    assert_eq!(ask(&service, "id", &service.client_secret(), GRANT).status, 200);
    assert!(!service.set_client_state("nobody", ClientState::Pending));
}

#[test]
fn a_rate_limit_says_in_the_body_how_long_to_wait() {
    let service = service();
    service.limit_rate(2, Duration::from_secs(7));
    for _ in 0..2 {
        let limited = ask(&service, "id", "secret", GRANT);
        assert_eq!((limited.status, limited.json()), (429, json!({"error": "rate_limited", "retry_after": 7})));
        assert_eq!(limited.header("retry-after"), None);
    }
    assert_eq!(ask(&service, "id", "secret", GRANT).status, 200);
    assert_eq!(service.token_requests(), 3);
}

#[test]
fn the_first_client_has_an_id_that_says_what_it_is_and_a_secret_of_its_own() {
    let service = HiiRetail::start().unwrap();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(service.client_id()).unwrap()).unwrap();
    assert_eq!(claims, "sfw=emulator-client@1.0.0@emulator-tenant\ntid=emulator-tenant");
    let secret = service.client_secret();
    assert!(secret.len() == 64 && secret.chars().all(|c| c.is_ascii_hexdigit()), "{secret}");
    assert_ne!(secret, HiiRetail::start().unwrap().client_secret());
    assert_eq!(ask(&service, service.client_id(), &secret, GRANT).status, 200);
    let shown = format!("{service:?}");
    assert!(!shown.contains(&secret[..8]), "{shown}");
}

#[test]
fn over_tls_the_issuer_is_an_https_url() {
    let service = HiiRetail::builder().tls().start().unwrap();
    let request = anonymous(&service).bytes(Request::get(DISCOVERY));
    let document = tls::exchange(service.url(), service.ca_pem().unwrap(), "127.0.0.1", &request).unwrap().json();
    assert_eq!(document["issuer"], service.url());
    assert!(service.url().starts_with("https://127.0.0.1:"), "{}", service.url());
}

#[test]
fn the_log_has_neither_secrets_nor_tokens() {
    let service = service();
    let client = logged_in(&service);
    client.send(Request::get("/api/v1/roles?limit=1&access_token=secret"));
    let log = format!("{:?}", service.requests());
    assert!(log.contains("/oauth2/token") && log.contains("limit=1"), "{log}");
    for secret in ["secret", "Basic", "Bearer", &client.token()[..8]] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
