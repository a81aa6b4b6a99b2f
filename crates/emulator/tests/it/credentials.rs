//! Logins to the account host, and the scoped tokens that the ingest host wants.

use std::time::SystemTime;

use rsa::pkcs8::{EncodePublicKey, LineEnding};
use snowpipe_emulator::Emulator;

use crate::support::client::{Client, JWT_EXCHANGE};
use crate::support::keys::{jwt, jwt_by, key_of, new_key};
use crate::support::request::Request;
use crate::support::{PIPE, jwt_part, prompt, unix_seconds};

const HOSTNAME: &str = "/v2/streaming/hostname";
const TOKEN_TYPE: &str = "X-Snowflake-Authorization-Token-Type";

#[test]
fn the_hostname_is_plain_text_without_a_port() {
    let emulator = prompt();
    let response = Client::with_jwt(&emulator).hostname();
    assert_eq!((response.status, response.text()), (200, "127.0.0.1"));
    assert!(response.header("date").unwrap().ends_with(" GMT"));
}

#[test]
fn a_scoped_token_is_a_jwt_in_plain_text_and_never_the_same() {
    let emulator = prompt();
    let (first, second) = (Client::scoped(&emulator), Client::scoped(&emulator));
    assert_ne!(first.token(), second.token());
    let claims = jwt_part(first.token(), 1);
    let left = claims["exp"].as_i64().unwrap() - unix_seconds();
    assert!((3590..=3600).contains(&left), "{claims}");
    assert!(claims["jti"].is_string());
}

#[test]
fn the_assertion_may_come_in_the_form_instead_of_the_header() {
    let emulator = prompt();
    let form = format!("{JWT_EXCHANGE}&assertion={}", jwt(&emulator));
    let request = Request::post("/oauth/token").header("Accept", "application/json").form(&form);
    let response = Client::anonymous(&emulator).send(request).ok();
    assert_eq!(Client::with_token(&emulator, response.text()).try_open("c", "{}").status, 200);
}

#[test]
fn refused_logins_have_an_id_and_the_reason_can_be_looked_up() {
    let emulator = prompt();
    let (key, stranger) = (key_of(&emulator), new_key());
    let now = unix_seconds();
    let mut forged = jwt(&emulator);
    forged.truncate(forged.len() - 12);
    forged.push_str("AAAAAAAAAAAA");
    for (token, reason) in [
        (jwt_by(&key, now - 7200, 3540), "394303 JWT_TOKEN_INVALID_EXPIRATION_TIME"),
        (jwt_by(&key, now - 3700, 7200), "394303 JWT_TOKEN_INVALID_EXPIRATION_TIME"),
        (jwt_by(&key, now + 300, 3540), "394302 JWT_TOKEN_INVALID_ISSUE_TIME"),
        (jwt_by(&stranger, now, 60), "394304 JWT_TOKEN_INVALID_PUBLIC_KEY_FINGERPRINT_MISMATCH"),
        (forged, "394306 JWT_TOKEN_INVALID_SIGNATURE"),
        (Client::scoped(&emulator).token().to_owned(), "394305 JWT_TOKEN_INVALID_ALGORITHM"),
    ] {
        let client = Client::with_token(&emulator, &token);
        let response = client.hostname();
        response.assert_refused(401, "390144");
        let message = response.json()["message"].as_str().unwrap().to_owned();
        let id = message.strip_prefix("JWT token is invalid. [").unwrap().strip_suffix(']').unwrap();
        assert!(!response.text().contains(&reason[7..]));
        let logged = emulator.requests().pop().unwrap().refusal.unwrap();
        assert_eq!(logged, format!("390144: {reason}"));
        let failures = client.inspect("login-failures").json();
        let failure = failures.as_array().unwrap().iter().find(|f| f["id"] == id).unwrap();
        assert_eq!(format!("{} {}", failure["code"], failure["reason"].as_str().unwrap()), reason);
    }
    let without_token = Client::anonymous(&emulator).send(Request::get(HOSTNAME).header("Accept", "*/*"));
    without_token.assert_refused(401, "390101");
}

#[test]
fn two_registered_keys_are_accepted_at_once() {
    let keys = [new_key(), new_key()];
    let pems = keys.each_ref().map(|key| key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap());
    let bare: String = pems[1].lines().filter(|line| !line.starts_with("-----")).collect();
    let emulator = Emulator::builder().public_key_pem(&pems[0]).public_key_pem(bare).start().unwrap();
    assert!(emulator.private_key_pem().is_none());
    for key in &keys {
        let token = jwt_by(key, unix_seconds(), 60);
        assert_eq!(Client::with_token(&emulator, &token).hostname().status, 200);
    }
    assert!(Emulator::builder().public_key_pem("no key").start().is_err());
}

#[test]
fn keys_and_the_programmatic_access_token_can_be_replaced() {
    let (old, new) = (new_key(), new_key());
    let pem = |key: &rsa::RsaPrivateKey| key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let emulator = Emulator::builder().public_key_pem(pem(&old)).start().unwrap();
    let status = |token: &str| Client::with_token(&emulator, token).hostname().status;
    let by = |key| status(&jwt_by(key, unix_seconds(), 60));
    assert_eq!([by(&old), by(&new)], [200, 401]);
    emulator.replace_public_keys(&[&pem(&old), &pem(&new)]).unwrap();
    assert_eq!([by(&old), by(&new)], [200, 200]);
    assert!(emulator.replace_public_keys(&[&pem(&old), "no key"]).is_err());
    assert!(emulator.replace_public_keys(&[&pem(&old), &pem(&new), &pem(&old)]).is_err());
    assert_eq!([by(&old), by(&new)], [200, 200]);
    emulator.replace_public_keys(&[&pem(&new)]).unwrap();
    assert_eq!([by(&old), by(&new)], [401, 200]);

    let first = emulator.programmatic_access_token();
    assert_eq!(status(&first), 200);
    emulator.replace_programmatic_access_token("second");
    assert_eq!([status(&first), status("second")], [401, 200]);
}

#[test]
fn each_token_opens_its_own_host_only() {
    let emulator = prompt();
    Client::with_jwt(&emulator).try_open("c", "{}").assert_refused(401, "390303");
    let client = Client::scoped(&emulator);
    client.hostname().assert_refused(401, "390144");
    let open_as = |token_type: &str| {
        let request = Request::put(format!("{PIPE}/channels/c")).header(TOKEN_TYPE, token_type);
        client.send(request.json("{}")).status
    };
    assert_eq!(open_as("KEYPAIR_JWT"), 401);
    assert_eq!(open_as("OAUTH"), 200);
}

#[test]
fn the_scope_must_name_this_host() {
    let emulator = prompt();
    let client = Client::with_jwt(&emulator);
    let exchange = |scope: &str| client.exchange(&JWT_EXCHANGE.replace("scope=127.0.0.1", scope));
    assert_eq!(exchange("scope=127.0.0.1+session%3Arole%3AINGEST").status, 200);
    exchange("scope=elsewhere").assert_refused(400, "invalid_scope");
    exchange("").assert_refused(400, "invalid_scope");
    client.exchange("grant_type=password&scope=127.0.0.1").assert_refused(400, "unsupported_grant_type");
}

#[test]
fn scoped_tokens_expire_and_can_be_revoked() {
    let emulator = prompt();
    let client = Client::scoped(&emulator);
    assert_eq!(client.try_open("c", "{}").status, 200);
    emulator.revoke_scoped_tokens();
    client.try_open("c", "{}").assert_refused(401, "390303");
    let client = Client::scoped(&emulator);
    assert_eq!(client.control("tokens", r#"{"revoke":"scoped"}"#).status, 200);
    assert_eq!(client.try_open("c", "{}").status, 401);
    let client = Client::scoped(&emulator);
    emulator.set_clock_offset(3601);
    client.try_open("c", "{}").assert_refused(401, "390318");
}

#[test]
fn the_clock_can_be_moved() {
    let emulator = prompt();
    let client = Client::with_jwt(&emulator);
    assert_eq!(client.control("clock", r#"{"offset_seconds":-86400}"#).status, 200);
    let response = client.hostname();
    assert_eq!(response.status, 401);
    let date = httpdate::parse_http_date(response.header("date").unwrap()).unwrap();
    let behind = SystemTime::now().duration_since(date).unwrap().as_secs();
    assert!((86_399..86_460).contains(&behind), "{behind}");
    let logged = emulator.requests().pop().unwrap().refusal.unwrap();
    assert_eq!(logged, "390144: 394302 JWT_TOKEN_INVALID_ISSUE_TIME");
}

#[test]
fn a_missing_accept_header_is_refused() {
    let emulator = prompt();
    let request = Request::get(HOSTNAME).header("Authorization", &format!("Bearer {}", jwt(&emulator)));
    let response = Client::anonymous(&emulator).send(request);
    response.assert_refused(406, "391902");
    let message = response.json()["message"].clone();
    assert_eq!(message, "Unsupported Accept header null is specified.");
}

#[test]
fn a_programmatic_access_token_is_exchanged_with_its_own_grant() {
    const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
        &scope=127.0.0.1+session%3Arole%3AR&subject_token_type=programmatic_access_token";
    let emulator = Emulator::builder().programmatic_access_token("pat-1").start().unwrap();
    let (right, wrong) = (Client::with_token(&emulator, "pat-1"), Client::with_token(&emulator, "pat-2"));
    let typed = |request: Request| request.header(TOKEN_TYPE, "PROGRAMMATIC_ACCESS_TOKEN");
    let hostname = |client: &Client| client.send(typed(Request::get(HOSTNAME)));
    assert_eq!(hostname(&right).text(), "127.0.0.1");
    hostname(&wrong).assert_refused(401, "394400");
    let exchange = |client: &Client, form: &str| client.send(typed(Request::post("/oauth/token")).form(form));
    let scoped = exchange(&right, &format!("{EXCHANGE}&subject_token=pat-1"));
    assert_eq!(Client::with_token(&emulator, scoped.text()).try_open("c", "{}").status, 200);
    assert_eq!(exchange(&wrong, EXCHANGE).status, 401);
    exchange(&right, JWT_EXCHANGE).assert_refused(400, "unsupported_grant_type");
    assert_eq!(right.exchange(EXCHANGE).status, 200, "without a type, the token shows what it is");
    assert_eq!(right.try_open("c", "{}").status, 401);
}
