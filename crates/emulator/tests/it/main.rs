//! The emulator, spoken to in bytes written by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};
use rsa::sha2::{Digest, Sha256};
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};
use snowpipe_emulator::{Emulator, Endpoint, ErrorForm, Fault, WordForm};

const PIPE: &str = "/v2/streaming/databases/DEMO/schemas/PUBLIC/pipes/FLIGHTS-STREAMING";
const DATA: &str = "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/pipes/FLIGHTS-STREAMING";
const TABLE: &str = "DEMO.PUBLIC.FLIGHTS";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const ROWS: &str = "Content-Type: application/x-ndjson\r\n";
const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=127.0.0.1";
const ACCESS_EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&scope=127.0.0.1\
    &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";

#[derive(Debug)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(present, _)| present == name);
        found.map(|(_, value)| value.as_str())
    }

    fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap().to_owned())
    }
}

fn connect(emulator: &Emulator) -> BufReader<TcpStream> {
    let address = emulator.url().strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    BufReader::new(stream)
}

/// Reads one response; `None` when the connection ends before it is complete.
fn read_answer(from: &mut impl BufRead) -> Option<Response> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    let status = line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        let line = line.strip_suffix("\r\n")?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    let len = response.header("content-length").map_or(0, |len| len.parse().unwrap());
    response.body = vec![0; len];
    from.read_exact(&mut response.body).ok()?;
    Some(response)
}

fn request(method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn try_send(emulator: &Emulator, bytes: &[u8]) -> Option<Response> {
    let mut connection = connect(emulator);
    connection.get_mut().write_all(bytes).unwrap();
    read_answer(&mut connection)
}

fn send(emulator: &Emulator, method: &str, target: &str, headers: &str, body: &[u8]) -> Response {
    try_send(emulator, &request(method, target, headers, body)).unwrap()
}

fn control(emulator: &Emulator, action: &str, body: &str) -> u16 {
    let target = format!("/_emulator/{action}");
    send(emulator, "POST", &target, "", body.as_bytes()).status
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn fingerprint(key: &RsaPrivateKey) -> String {
    let der = key.to_public_key().to_public_key_der().unwrap();
    STANDARD.encode(Sha256::digest(der.as_bytes()))
}

fn sign(key: &RsaPrivateKey, claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256"}"#);
    signed_by(key, &format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string())))
}

fn signed_by(key: &RsaPrivateKey, signed: &str) -> String {
    let signature = key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(signed.as_bytes())).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn key_of(emulator: &Emulator) -> RsaPrivateKey {
    RsaPrivateKey::from_pkcs8_pem(emulator.private_key_pem().unwrap()).unwrap()
}

fn jwt_by(key: &RsaPrivateKey, issued: i64, lifetime: i64) -> String {
    let claims = json!({
        "iss": format!("TESTORG-EMULATOR.LOADER.SHA256:{}", fingerprint(key)),
        "sub": "TESTORG-EMULATOR.LOADER",
        "iat": issued,
        "exp": issued + lifetime,
    });
    sign(key, &claims)
}

fn jwt(emulator: &Emulator) -> String {
    jwt_by(&key_of(emulator), unix_seconds(), 3540)
}

fn bearer(token: &str) -> String {
    format!("Accept: application/json\r\nAuthorization: Bearer {token}\r\n")
}

fn hostname(emulator: &Emulator, token: &str) -> Response {
    send(emulator, "GET", "/v2/streaming/hostname", &bearer(token), b"")
}

fn exchange(emulator: &Emulator, login: &str, form: &str) -> Response {
    let headers = format!("{FORM}{}", bearer(login));
    send(emulator, "POST", "/oauth/token", &headers, form.as_bytes())
}

fn scoped(emulator: &Emulator) -> String {
    let response = exchange(emulator, &jwt(emulator), EXCHANGE);
    assert_eq!(response.status, 200, "{}", response.text());
    response.text().to_owned()
}

fn open(emulator: &Emulator, token: &str, channel: &str, body: &str) -> Response {
    let headers = format!("{JSON}{}", bearer(token));
    let target = format!("{PIPE}/channels/{channel}");
    send(emulator, "PUT", &target, &headers, body.as_bytes())
}

fn opened(emulator: &Emulator, token: &str, channel: &str) -> String {
    let response = open(emulator, token, channel, "{}");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["next_continuation_token"].as_str().unwrap().to_owned()
}

fn rows_request(token: &str, target: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("{ROWS}{more}{}", bearer(token));
    request("POST", target, &headers, body)
}

fn append(emulator: &Emulator, token: &str, query: &str, body: &[u8]) -> Response {
    let target = format!("{DATA}/channels/c/rows?{query}");
    try_send(emulator, &rows_request(token, &target, "", body)).unwrap()
}

fn elastic(emulator: &Emulator, token: &str, more: &str, body: &[u8]) -> Response {
    let target = "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/tables/FLIGHTS/rows";
    try_send(emulator, &rows_request(token, target, more, body)).unwrap()
}

fn next(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["next_continuation_token"].as_str().unwrap().to_owned()
}

fn statuses(emulator: &Emulator, token: &str, names: &str) -> Value {
    let headers = format!("{JSON}{}", bearer(token));
    let target = format!("{PIPE}:bulk-channel-status");
    let response = send(emulator, "POST", &target, &headers, names.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["channel_statuses"].clone()
}

fn status(emulator: &Emulator, token: &str) -> Value {
    statuses(emulator, token, r#"{"channel_names":["c"]}"#)["c"].clone()
}

fn eventually(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "it did not come about");
        std::thread::yield_now();
    }
}

fn prompt() -> Emulator {
    Emulator::builder().commit_delay(Duration::ZERO).start().unwrap()
}

const UUID: &str = "7f6f9d1e-3f0a-4a51-9d0e-3d4b7c2a1f00";

// ---- credentials

#[test]
fn the_hostname_is_plain_text_without_a_port() {
    let emulator = prompt();
    let response = hostname(&emulator, &jwt(&emulator));
    assert_eq!((response.status, response.text()), (200, "127.0.0.1"));
    assert!(response.header("date").unwrap().ends_with(" GMT"));
}

#[test]
fn a_scoped_token_is_a_jwt_in_plain_text_and_never_the_same() {
    let emulator = prompt();
    let (first, second) = (scoped(&emulator), scoped(&emulator));
    assert_ne!(first, second);
    let claims = URL_SAFE_NO_PAD.decode(first.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let left = claims["exp"].as_i64().unwrap() - unix_seconds();
    assert!((3590..=3600).contains(&left), "{claims}");
    assert!(claims["jti"].is_string());
}

#[test]
fn the_assertion_may_come_in_the_form_instead_of_the_header() {
    let emulator = prompt();
    let form = format!("{EXCHANGE}&assertion={}", jwt(&emulator));
    let headers = format!("{FORM}Accept: application/json\r\n");
    let response = send(&emulator, "POST", "/oauth/token", &headers, form.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(open(&emulator, response.text(), "c", "{}").status, 200);
}

#[test]
fn refused_logins_tell_an_id_and_the_reason_can_be_looked_up() {
    let emulator = prompt();
    let key = key_of(&emulator);
    let stranger = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
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
        (scoped(&emulator), "394305 JWT_TOKEN_INVALID_ALGORITHM"),
    ] {
        let response = hostname(&emulator, &token);
        assert_eq!(response.refusal(), (401, "390144".to_owned()));
        let message = response.json()["message"].as_str().unwrap().to_owned();
        let id = message.strip_prefix("JWT token is invalid. [").unwrap().strip_suffix(']').unwrap();
        assert!(!response.text().contains(&reason[7..]));
        let logged = emulator.requests().pop().unwrap().refusal.unwrap();
        assert_eq!(logged, format!("390144: {reason}"));
        let failures = send(&emulator, "GET", "/_emulator/login-failures", "", b"").json();
        let failure = failures.as_array().unwrap().iter().find(|f| f["id"] == id).unwrap();
        assert_eq!(format!("{} {}", failure["code"], failure["reason"].as_str().unwrap()), reason);
    }
    let nobody = send(&emulator, "GET", "/v2/streaming/hostname", "Accept: */*\r\n", b"");
    assert_eq!(nobody.refusal(), (401, "390101".to_owned()));
}

#[test]
fn two_registered_keys_are_good_at_once() {
    let keys = [(); 2].map(|()| RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap());
    let pems = keys.each_ref().map(|key| key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap());
    let bare: String = pems[1].lines().filter(|line| !line.starts_with("-----")).collect();
    let emulator = Emulator::builder().public_key_pem(&pems[0]).public_key_pem(bare).start().unwrap();
    assert!(emulator.private_key_pem().is_none());
    for key in &keys {
        let token = jwt_by(key, unix_seconds(), 60);
        assert_eq!(hostname(&emulator, &token).status, 200);
    }
    assert!(Emulator::builder().public_key_pem("no key").start().is_err());
}

#[test]
fn each_token_opens_its_own_host_only() {
    let emulator = prompt();
    let login = jwt(&emulator);
    assert_eq!(open(&emulator, &login, "c", "{}").refusal(), (401, "390303".to_owned()));
    let token = scoped(&emulator);
    assert_eq!(hostname(&emulator, &token).refusal(), (401, "390144".to_owned()));
    let typed = format!("X-Snowflake-Authorization-Token-Type: KEYPAIR_JWT\r\n{JSON}{}", bearer(&token));
    let target = format!("{PIPE}/channels/c");
    assert_eq!(send(&emulator, "PUT", &target, &typed, b"{}").status, 401);
    let typed = typed.replace("KEYPAIR_JWT", "OAUTH");
    assert_eq!(send(&emulator, "PUT", &target, &typed, b"{}").status, 200);
}

#[test]
fn the_scope_must_name_this_host() {
    let emulator = prompt();
    let login = jwt(&emulator);
    let with = |scope: &str| {
        let form = EXCHANGE.replace("scope=127.0.0.1", scope);
        exchange(&emulator, &login, &form)
    };
    assert_eq!(with("scope=127.0.0.1+session%3Arole%3AINGEST").status, 200);
    assert_eq!(with("scope=elsewhere").refusal(), (400, "invalid_scope".to_owned()));
    assert_eq!(with("").refusal(), (400, "invalid_scope".to_owned()));
    let wrong = exchange(&emulator, &login, "grant_type=password&scope=127.0.0.1");
    assert_eq!(wrong.refusal(), (400, "unsupported_grant_type".to_owned()));
}

#[test]
fn scoped_tokens_expire_and_can_be_revoked() {
    let emulator = prompt();
    let token = scoped(&emulator);
    assert_eq!(open(&emulator, &token, "c", "{}").status, 200);
    emulator.revoke_scoped_tokens();
    assert_eq!(open(&emulator, &token, "c", "{}").refusal(), (401, "390303".to_owned()));
    let token = scoped(&emulator);
    assert_eq!(control(&emulator, "tokens", r#"{"revoke":"scoped"}"#), 200);
    assert_eq!(open(&emulator, &token, "c", "{}").status, 401);
    let token = scoped(&emulator);
    emulator.set_clock_offset(3601);
    assert_eq!(open(&emulator, &token, "c", "{}").refusal(), (401, "390318".to_owned()));
}

#[test]
fn the_clock_can_be_moved() {
    let emulator = prompt();
    assert_eq!(control(&emulator, "clock", r#"{"offset_seconds":-86400}"#), 200);
    let response = hostname(&emulator, &jwt(&emulator));
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
    let headers = format!("Authorization: Bearer {}\r\n", jwt(&emulator));
    let response = send(&emulator, "GET", "/v2/streaming/hostname", &headers, b"");
    assert_eq!(response.refusal(), (406, "391902".to_owned()));
    let message = response.json()["message"].clone();
    assert_eq!(message, "Unsupported Accept header null is specified.");
}

#[test]
fn a_personal_access_token_is_exchanged_with_its_own_grant() {
    let emulator = Emulator::builder().programmatic_access_token("pat-1").start().unwrap();
    let typed = "X-Snowflake-Authorization-Token-Type: PROGRAMMATIC_ACCESS_TOKEN\r\n";
    let headers = |token: &str| format!("{FORM}{typed}{}", bearer(token));
    let ask = |token: &str| send(&emulator, "GET", "/v2/streaming/hostname", &headers(token), b"");
    assert_eq!(ask("pat-1").text(), "127.0.0.1");
    assert_eq!(ask("pat-2").refusal(), (401, "394400".to_owned()));
    let form = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&scope=127.0.0.1+session%3Arole%3AR&subject_token_type=programmatic_access_token";
    let trade = |token: &str, form: &str| send(&emulator, "POST", "/oauth/token", &headers(token), form.as_bytes());
    let scoped = trade("pat-1", &format!("{form}&subject_token=pat-1"));
    assert_eq!(open(&emulator, scoped.text(), "c", "{}").status, 200);
    assert_eq!(trade("pat-2", form).status, 401);
    assert_eq!(trade("pat-1", EXCHANGE).refusal(), (400, "unsupported_grant_type".to_owned()));
    assert_eq!(exchange(&emulator, "pat-1", form).status, 200, "the type is told from the token");
    assert_eq!(open(&emulator, "pat-1", "c", "{}").status, 401);
}

#[test]
fn the_authorization_server_issues_access_tokens_for_the_account() {
    let emulator = Emulator::builder().oauth_client("the id", "s:cret").start().unwrap();
    let target = "/oauth2/.well-known/openid-configuration";
    let metadata = send(&emulator, "GET", target, "", b"").json();
    assert_eq!(metadata["issuer"], format!("{}/oauth2", emulator.url()));
    assert_eq!(metadata["token_endpoint"], format!("{}/oauth2/token", emulator.url()));
    let ask =
        |more: &str, form: &str| send(&emulator, "POST", "/oauth2/token", &format!("{FORM}{more}"), form.as_bytes());
    let posted = "grant_type=client_credentials&client_id=the+id&client_secret=s%3Acret&scope=session%3Arole%3AR";
    let granted = ask("", posted).json();
    assert_eq!(granted["token_type"], "Bearer");
    assert_eq!(granted["expires_in"], 3600);
    assert_eq!(granted["scope"], "session:role:R");
    let basic = format!("Authorization: Basic {}\r\n", STANDARD.encode("the+id:s%3Acret"));
    let granted = ask(&basic, "grant_type=client_credentials").json();
    let token = granted["access_token"].as_str().unwrap();

    let wrong = ask("", "grant_type=client_credentials&client_id=the+id&client_secret=x");
    assert_eq!((wrong.status, wrong.json()["error"].clone()), (401, json!("invalid_client")));
    assert!(wrong.header("www-authenticate").is_some());
    let wrong = ask(&basic, "grant_type=password");
    assert_eq!((wrong.status, wrong.json()["error"].clone()), (400, json!("unsupported_grant_type")));

    let typed = |token: &str| format!("X-Snowflake-Authorization-Token-Type: OAUTH\r\n{}", bearer(token));
    let name = |token: &str| send(&emulator, "GET", "/v2/streaming/hostname", &typed(token), b"");
    assert_eq!(name(token).text(), "127.0.0.1");
    let trade = |headers: &str, form: &str| {
        send(&emulator, "POST", "/oauth/token", &format!("{FORM}{headers}"), form.as_bytes())
    };
    assert_eq!(trade(&typed(token), EXCHANGE).refusal(), (400, "unsupported_grant_type".to_owned()));
    let scoped = trade(&typed(token), ACCESS_EXCHANGE);
    assert_eq!(open(&emulator, scoped.text(), "c", "{}").status, 200);
    let in_form = format!("{ACCESS_EXCHANGE}&subject_token={token}");
    assert_eq!(trade("Accept: application/json\r\n", &in_form).status, 200);
    let login = bearer(&jwt(&emulator));
    assert_eq!(trade(&login, ACCESS_EXCHANGE).refusal(), (400, "unsupported_grant_type".to_owned()));
    assert_eq!(name(scoped.text()).refusal(), (401, "390303".to_owned()));
    assert_eq!(open(&emulator, token, "c", "{}").status, 401);
    emulator.revoke_access_tokens();
    assert_eq!(name(token).refusal(), (401, "390303".to_owned()));
    assert_eq!(open(&emulator, scoped.text(), "c", "{}").status, 200);
}

// ---- authorization server

fn access_token(emulator: &Emulator) -> String {
    let (id, secret) = emulator.oauth_client();
    let form = format!(
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=openid+session%3Arole%3AINGEST"
    );
    let response = send(emulator, "POST", "/oauth2/token", FORM, form.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["access_token"].as_str().unwrap().to_owned()
}

fn log_in_with(emulator: &Emulator, access_token: &str) -> Response {
    let headers = format!("X-Snowflake-Authorization-Token-Type: OAUTH\r\n{}", bearer(access_token));
    send(emulator, "GET", "/v2/streaming/hostname", &headers, b"")
}

/// The one key that the discovery document leads to.
fn published_key(emulator: &Emulator) -> Value {
    let metadata = send(emulator, "GET", "/oauth2/.well-known/openid-configuration", "", b"").json();
    let uri = metadata["jwks_uri"].as_str().unwrap();
    assert_eq!(uri, format!("{}/oauth2/jwks", emulator.url()));
    let response = send(emulator, "GET", uri.strip_prefix(emulator.url()).unwrap(), "", b"");
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    let keys = response.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    keys["keys"][0].clone()
}

fn public_key(jwk: &Value) -> RsaPublicKey {
    let number = |name: &str| BigUint::from_bytes_be(&URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap());
    RsaPublicKey::new(number("n"), number("e")).unwrap()
}

fn part(token: &str, index: usize) -> Value {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&part).unwrap()
}

#[test]
fn access_tokens_bear_signatures_of_the_published_key() {
    let emulator = prompt();
    let jwk = published_key(&emulator);
    let modulus = jwk["n"].as_str().unwrap();
    assert_eq!(modulus.len(), 342, "2048 bits without padding");
    let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"e":"AQAB","kty":"RSA","n":"{modulus}"}}"#)));
    let whole = json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": modulus, "e": "AQAB"});
    assert_eq!(jwk, whole);
    let key = public_key(&jwk);
    assert_ne!(key, key_of(&emulator).to_public_key(), "the user's key is another");

    let token = access_token(&emulator);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(signed), &signature).unwrap();
    assert_eq!(part(&token, 0), json!({"typ": "JWT", "alg": "RS256", "kid": kid}));
    let claims = part(&token, 1);
    let issued = claims["iat"].as_i64().unwrap();
    assert!((unix_seconds() - 20..=unix_seconds()).contains(&issued), "{claims}");
    let expected = json!({
        "iss": format!("{}/oauth2", emulator.url()),
        "sub": "LOADER",
        "aud": emulator.url(),
        "scp": ["openid", "session:role:INGEST"],
        "iat": issued,
        "exp": issued + 3600,
        "jti": claims["jti"].as_str().unwrap(),
    });
    assert_eq!(claims, expected);
    assert_ne!(part(&access_token(&emulator), 1)["jti"], claims["jti"]);
    assert_eq!(log_in_with(&emulator, &token).status, 200);
    emulator.set_clock_offset(3601);
    assert_eq!(log_in_with(&emulator, &token).refusal(), (401, "390318".to_owned()));
}

#[test]
fn only_a_signature_of_the_published_key_logs_in() {
    let emulator = prompt();
    let good = access_token(&emulator);
    let jwk = published_key(&emulator);
    let (key, kid) = (public_key(&jwk), jwk["kid"].as_str().unwrap());
    let with = |algorithm: &str, claims: &Value| {
        let header = json!({"typ": "JWT", "alg": algorithm, "kid": kid});
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
    };
    let claims = part(&good, 1);
    let refuse = |token: &str| {
        assert_eq!(log_in_with(&emulator, token).refusal(), (401, "390303".to_owned()), "{token}");
    };
    refuse(&signed_by(&key_of(&emulator), &with("RS256", &claims)));
    let pem = key.to_public_key_pem(LineEnding::LF).unwrap();
    let der = key.to_public_key_der().unwrap();
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), der.as_bytes(), jwk["n"].as_str().unwrap().as_bytes()] {
        let signed = with("HS256", &claims);
        let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(&signed).finalize().into_bytes();
        refuse(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac)));
    }
    let signature = good.rsplit_once('.').unwrap().1;
    for algorithm in ["none", "None", ""] {
        refuse(&format!("{}.", with(algorithm, &claims)));
        refuse(&format!("{}.{signature}", with(algorithm, &claims)));
    }
    let mut longer = claims.clone();
    longer["exp"] = json!(unix_seconds() + 999_999);
    refuse(&format!("{}.{signature}", with("RS256", &longer)));
    assert_eq!(log_in_with(&emulator, &good).status, 200);
}

// ---- channels

#[test]
fn a_new_channel_has_the_whole_status_with_the_right_types() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let response = open(&emulator, &token, "load-1", "{}").json();
    let created = response["channel_status"]["created_on_ms"].clone();
    assert!(created.is_i64());
    assert_eq!(
        response["channel_status"],
        json!({
            "database_name": "DEMO",
            "schema_name": "PUBLIC",
            "pipe_name": "FLIGHTS-STREAMING",
            "channel_name": "load-1",
            "channel_status_code": "SUCCESS",
            "last_committed_offset_token": null,
            "created_on_ms": created,
            "rows_inserted": 0,
            "rows_parsed": 0,
            "rows_error_count": 0,
            "last_error_offset_upper_bound": null,
            "last_error_message": null,
            "last_error_timestamp_ms": null,
            "snowflake_avg_processing_latency_ms": 0,
        })
    );
    assert!(response["next_continuation_token"].is_string());
}

#[test]
fn rows_land_byte_for_byte_and_the_offset_follows() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let first = opened(&emulator, &token, "c");
    let query = format!("startOffsetToken=1&endOffsetToken=2&continuationToken={first}&requestId={UUID}&retryCount=0");
    let second = next(&append(&emulator, &token, &query, b"{\"A\": 1.50}\n\n{\"A\":\"\xc3\xa9\"}\n"));
    let query = format!("offsetToken=3&continuationToken={second}");
    next(&append(&emulator, &token, &query, b"{\"A\":3}"));
    assert_eq!(emulator.rows(TABLE), "{\"A\": 1.50}\n{\"A\":\"é\"}\n{\"A\":3}\n".as_bytes());
    let status = status(&emulator, &token);
    assert_eq!(status["last_committed_offset_token"], "3");
    assert_eq!(status["rows_inserted"], 3);
    assert_eq!(status["rows_parsed"], 3);
    let landed = send(&emulator, "GET", "/_emulator/rows?table=demo.public.%22FLIGHTS%22", "", b"");
    assert_eq!(landed.body, emulator.rows(TABLE));
}

#[test]
fn a_replayed_append_gives_the_earlier_answer_and_lands_once() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let first = opened(&emulator, &token, "c");
    emulator.inject(Fault::lose_reply(Endpoint::Append));
    let target =
        format!("{DATA}/channels/c/rows?endOffsetToken=1&continuationToken={first}&requestId={UUID}&retryCount=");
    let lost = try_send(&emulator, &rows_request(&token, &format!("{target}0"), "", b"{}\n"));
    assert!(lost.is_none());
    assert_eq!(emulator.requests().pop().unwrap().status, None);
    let again = || try_send(&emulator, &rows_request(&token, &format!("{target}1"), "", b"{}\n")).unwrap();
    let second = next(&again());
    assert_eq!(next(&again()), second);
    assert_eq!(emulator.rows(TABLE), b"{}\n");
    next(&append(&emulator, &token, &format!("continuationToken={second}"), b"{\"b\":2}\n"));
    assert_eq!(again().refusal(), (400, "STALE_CONTINUATION_TOKEN_SEQUENCER".to_owned()));
    assert_eq!(emulator.rows(TABLE), b"{}\n{\"b\":2}\n");
}

#[test]
fn stale_and_missing_tokens_are_refused() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let stale = (400, "STALE_CONTINUATION_TOKEN_SEQUENCER".to_owned());
    let first = opened(&emulator, &token, "c");
    let query = format!("continuationToken={first}");
    next(&append(&emulator, &token, &query, b"{}\n"));
    assert_eq!(append(&emulator, &token, &query, b"{}\n").refusal(), stale);
    assert_eq!(append(&emulator, &token, "continuationToken=", b"{}\n").refusal(), stale);
    let reopened = opened(&emulator, &token, "C");
    let again = opened(&emulator, &token, "c");
    let query = format!("continuationToken={reopened}");
    assert_eq!(append(&emulator, &token, &query, b"{}\n").refusal(), stale);
    assert!(emulator.steal_channel("DEMO.PUBLIC.FLIGHTS-STREAMING", "c"));
    let query = format!("continuationToken={again}");
    assert_eq!(append(&emulator, &token, &query, b"{}\n").refusal(), stale);
    let malformed = append(&emulator, &token, "continuationToken=nonsense", b"{}\n");
    assert_eq!(malformed.refusal(), (400, "ERR_INVALID_CONTINUATION_TOKEN".to_owned()));
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn reopening_discards_what_is_not_committed_or_refuses() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let first = opened(&emulator, &token, "c");
    let second =
        next(&append(&emulator, &token, &format!("endOffsetToken=1&continuationToken={first}"), b"{\"a\":1}\n"));
    assert_eq!(status(&emulator, &token)["last_committed_offset_token"], "1");
    emulator.hold_commits(true);
    next(&append(&emulator, &token, &format!("endOffsetToken=2&continuationToken={second}"), b"{\"a\":2}\n"));
    assert_eq!(status(&emulator, &token)["last_committed_offset_token"], "1");
    let guarded = open(&emulator, &token, "c", r#"{"fail_on_uncommitted_rows":true}"#);
    assert_eq!(guarded.refusal(), (409, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA".to_owned()));
    let forced = open(&emulator, &token, "c", r#"{"fail_on_uncommitted_rows":false}"#).json();
    assert_eq!(forced["channel_status"]["last_committed_offset_token"], "1");
    assert_eq!(control(&emulator, "commits", r#"{"hold":false}"#), 200);
    assert_eq!(emulator.rows(TABLE), b"{\"a\":1}\n");
    let guarded = open(&emulator, &token, "c", r#"{"offset_token":"77","fail_on_uncommitted_rows":true}"#).json();
    assert_eq!(guarded["channel_status"]["last_committed_offset_token"], "77");
}

#[test]
fn commits_come_after_the_delay() {
    let emulator = Emulator::builder().commit_delay(Duration::from_millis(50)).start().unwrap();
    let token = scoped(&emulator);
    let first = opened(&emulator, &token, "c");
    let query = format!("endOffsetToken=9&continuationToken={first}");
    next(&append(&emulator, &token, &query, b"{}\n"));
    eventually(|| status(&emulator, &token)["last_committed_offset_token"] == "9");
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn rows_that_cannot_land_are_counted_and_the_count_survives_reopening() {
    let emulator = prompt();
    let token = scoped(&emulator);
    emulator.reject_rows_containing("poison");
    let first = opened(&emulator, &token, "c");
    let body = b"{\"a\":1}\n[2]\n{\"a\":\"\xff\"}\n{\"a\":\"poison\"}\n{\"a\":5}\n";
    next(&append(&emulator, &token, &format!("endOffsetToken=5&continuationToken={first}"), body));
    assert_eq!(emulator.rows(TABLE), b"{\"a\":1}\n{\"a\":5}\n");
    let reopened = open(&emulator, &token, "c", "{}").json()["channel_status"].clone();
    assert_eq!(reopened["rows_error_count"], 3);
    assert_eq!(reopened["rows_inserted"], 2);
    assert_eq!(reopened["last_committed_offset_token"], "5");
    assert_eq!(reopened["last_error_offset_upper_bound"], "5");
    assert!(reopened["last_error_message"].is_string());
    assert!(reopened["last_error_timestamp_ms"].is_i64());
    assert_eq!(control(&emulator, "rejections", r#"{"containing":"other"}"#), 200);
    let next_token = opened(&emulator, &token, "c");
    let query = format!("endOffsetToken=6&continuationToken={next_token}");
    next(&append(&emulator, &token, &query, b"{\"a\":\"poison\"}\n"));
    assert_eq!(status(&emulator, &token)["rows_error_count"], 3);
}

#[test]
fn names_differ_by_case_only_when_quoted_and_in_lists() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let headers = format!("{JSON}{}", bearer(&token));
    let put = |pipe: &str| {
        let target = format!("/v2/streaming/databases/demo/schemas/public/pipes/{pipe}/channels/c");
        send(&emulator, "PUT", &target, &headers, b"{}")
    };
    assert_eq!(put("flights-streaming").json()["channel_status"]["pipe_name"], "FLIGHTS-STREAMING");
    assert!(status(&emulator, &token).is_object());
    let quoted = put("%22my%20t-STREAMING%22").json();
    assert_eq!(quoted["channel_status"]["pipe_name"], "my t-STREAMING");
    let unknown = (404, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED".to_owned());
    assert_eq!(put("%22my%20t-streaming%22").refusal(), unknown);
    assert_eq!(put("MYPIPE").refusal(), unknown);
    let listed = statuses(&emulator, &token, r#"{"channel_names":["c","C","nobody","ELASTIC"]}"#);
    let names: Vec<&String> = listed.as_object().unwrap().keys().collect();
    assert_eq!(names, ["ELASTIC", "c"]);
}

#[test]
fn declared_pipes_feed_their_table() {
    let emulator = Emulator::builder().pipe("mypipe", "flights").commit_delay(Duration::ZERO).start().unwrap();
    let token = scoped(&emulator);
    let target = "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/pipes/MYPIPE/channels/ELASTIC/rows";
    let response = try_send(&emulator, &rows_request(&token, target, "", b"{}\n")).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn dropping_forgets_the_channel_and_its_offset() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let gone = (404, "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED".to_owned());
    let target = format!("{PIPE}/channels/c");
    let drop = || send(&emulator, "DELETE", &target, &bearer(&token), b"");
    assert_eq!(drop().refusal(), gone);
    let first = opened(&emulator, &token, "c");
    next(&append(&emulator, &token, &format!("endOffsetToken=1&continuationToken={first}"), b"{}\n"));
    assert_eq!(drop().status, 200);
    assert_eq!(append(&emulator, &token, &format!("continuationToken={first}"), b"{}\n").refusal(), gone);
    let again = open(&emulator, &token, "c", "{}").json();
    assert_eq!(again["channel_status"]["last_committed_offset_token"], Value::Null);
    let query = format!("continuationToken={first}");
    assert_eq!(append(&emulator, &token, &query, b"{}\n").status, 400);
    let expire = r#"{"action":"expire","pipe":"DEMO.PUBLIC.FLIGHTS-STREAMING","channel":"c"}"#;
    assert_eq!(control(&emulator, "channels", expire), 200);
    assert_eq!(control(&emulator, "channels", expire), 404);
    assert_eq!(status(&emulator, &token), Value::Null);
}

#[test]
fn the_undocumented_calls_of_the_official_client_are_answered() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let headers = format!("{JSON}{}", bearer(&token));
    let body = br#"{"generate_new_token":true,"encryption_version":"AES-CTR-128.1"}"#;
    let info = send(&emulator, "POST", &format!("{PIPE}:pipe-info"), &headers, body).json();
    assert_eq!(info["rowset_stage_location"]["location_type"], "S3");
    let key = info["encryption_info"]["pipe_key"].as_str().unwrap();
    assert_eq!(STANDARD.decode(key).unwrap().len(), 32);
    let headers = format!("{JSON}{}", bearer(&jwt(&emulator)));
    let logged = send(&emulator, "POST", "/telemetry/send/sessionless", &headers, br#"{"logs":[]}"#);
    assert_eq!(logged.json(), json!({"code": null, "data": "Log Received", "message": null, "success": true}));
}

#[test]
fn files_are_uploaded_decrypted_and_landed_in_order() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let json = format!("{JSON}{}", bearer(&token));
    let info = send(&emulator, "POST", &format!("{PIPE}:pipe-info"), &json, b"{}").json();
    let stage = &info["durable_stage_location"];
    assert_eq!(emulator.url(), format!("http://{}", stage["storage_endpoint"].as_str().unwrap()));
    let path = format!("{}0.ndjson", stage["location"].as_str().unwrap());

    let rows = b"{\"a\":1}\n\n{\"a\":2}\n\n".repeat(3000);
    let mut file = zstd::bulk::compress(&rows, 1).unwrap();
    let key = STANDARD.decode(info["encryption_info"]["pipe_key"].as_str().unwrap()).unwrap();
    let cipher = ctr::Ctr128BE::<aes::Aes256>::new_from_slices(&key, &[7; 16]);
    cipher.unwrap().apply_keystream(&mut file);

    let (half, rest) = file.split_at(file.len() / 2);
    let mut crc = flate2::Crc::new();
    crc.update(&file);
    let framed = [
        format!("{:x}\r\n", half.len()).as_bytes(),
        half,
        format!("\r\n{:x}\r\n", rest.len()).as_bytes(),
        rest,
        format!("\r\n0\r\nx-amz-checksum-crc32:{}\r\n\r\n", STANDARD.encode(crc.sum().to_be_bytes())).as_bytes(),
    ]
    .concat();
    let creds = &stage["creds"];
    let headers = format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={}/20261121/us-west-2/s3/aws4_request, SignedHeaders=host, Signature=00\r\n\
         x-amz-security-token: {}\r\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n\
         content-encoding: aws-chunked\r\nx-amz-decoded-content-length: {}\r\n",
        creds["AWS_KEY_ID"].as_str().unwrap(),
        creds["AWS_TOKEN"].as_str().unwrap(),
        file.len()
    );
    let target = format!("/{path}?x-id=PutObject");
    assert_eq!(send(&emulator, "PUT", &target, "", &framed).status, 403);
    let broken = send(&emulator, "PUT", &target, &headers, &framed[..framed.len() - 9]);
    assert_eq!((broken.status, broken.text().contains("<Code>BadDigest</Code>")), (400, true));
    let put = send(&emulator, "PUT", &target, &headers, &framed);
    assert_eq!((put.status, put.body.len()), (200, 0));
    let etag = put.header("etag").unwrap().trim_matches('"').to_owned();
    assert_eq!(put.header("etag"), Some(format!("\"{etag}\"").as_str()));

    let first = opened(&emulator, &token, "c");
    let list = |etag: &str| {
        json!([{
            "file_path": path, "content_type": "application/x-ndjson", "file_etag": etag,
            "file_length_bytes": file.len(), "fragment_length_bytes": file.len(),
            "fragment_length_uncompressed_bytes": rows.len(),
            "fragment_start_offset_token": "0", "fragment_end_offset_token": "5999",
            "fragment_row_count": 6000, "fragment_start_byte_offset": 0, "diversifier": "1",
            "master_key_id": "1", "iv_base64": STANDARD.encode([7; 16]),
            "encryption_version": "AES-CTR-128.1", "min_append_timestamp_ms": 1,
        }])
        .to_string()
    };
    let target = format!("{DATA}/channels/c/filebuffer?continuationToken={first}&requestId={UUID}&retryCount=0");
    let register = |etag: &str| send(&emulator, "POST", &target, &json, list(etag).as_bytes());
    assert_eq!(register("other").refusal().0, 400);
    emulator.inject(Fault::lose_reply(Endpoint::Register));
    assert!(try_send(&emulator, &request("POST", &target, &json, list(&etag).as_bytes())).is_none());
    let second = next(&register(&etag));
    assert_eq!(next(&register(&etag)), second);
    assert_eq!(emulator.rows(TABLE), b"{\"a\":1}\n{\"a\":2}\n".repeat(3000));
    assert_eq!(status(&emulator, &token)["last_committed_offset_token"], "5999");
    let query = format!("endOffsetToken=6000&continuationToken={second}");
    next(&append(&emulator, &token, &query, b"{\"a\":3}\n"));
    assert!(emulator.requests().iter().any(|r| r.path.ends_with("/0.ndjson") && r.status == Some(200)));
    assert!(!format!("{:?}", emulator.requests()).contains(creds["AWS_TOKEN"].as_str().unwrap()));
}

// ---- rows on the wire

#[test]
fn elastic_appends_take_no_offsets_and_land() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let response = elastic(&emulator, &token, "", b"{\"e\":1}\n");
    assert_eq!(response.json()["message"], "OK");
    let target = format!("{DATA}/channels/elastic/rows?requestId={UUID}&retryCount=0");
    let body = b"{\"e\":2}\nbad\n";
    assert_eq!(try_send(&emulator, &rows_request(&token, &target, "", body)).unwrap().status, 200);
    assert_eq!(emulator.rows(TABLE), b"{\"e\":1}\n{\"e\":2}\n");
    for name in ["offsetToken", "startOffsetToken", "endOffsetToken", "continuationToken"] {
        let target = format!("{DATA}/channels/ELASTIC/rows?{name}=1");
        let response = try_send(&emulator, &rows_request(&token, &target, "", b"{}\n")).unwrap();
        assert_eq!(response.refusal().0, 400, "{name}");
    }
    let headers = format!("{JSON}{}", bearer(&token));
    let reserved = send(&emulator, "PUT", &format!("{PIPE}/channels/ELASTIC"), &headers, b"{}");
    assert_eq!(reserved.status, 400);
}

#[test]
fn compressed_bodies_land_as_what_they_hold() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let rows = b"{\"a\":\"some text, some text\"}\n".repeat(500);
    let zstd = zstd::bulk::compress(&rows, 1).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&rows).unwrap();
    let gzip = gzip.finish().unwrap();
    let stated = format!("x-snowflake-uncompressed-content-length: {}\r\n", rows.len());
    assert_eq!(elastic(&emulator, &token, &format!("Content-Encoding: zstd\r\n{stated}"), &zstd).status, 200);
    assert_eq!(elastic(&emulator, &token, "content-encoding: gzip\r\n", &gzip).status, 200);
    assert_eq!(emulator.rows(TABLE), rows.repeat(2));
    for wrong in ["5", "99999", "x"] {
        let wrong = format!("Content-Encoding: zstd\r\nx-snowflake-uncompressed-content-length: {wrong}\r\n");
        assert_eq!(elastic(&emulator, &token, &wrong, &zstd).status, 400);
    }
    assert_eq!(elastic(&emulator, &token, "Content-Encoding: zstd\r\n", &rows).status, 400);
    assert_eq!(elastic(&emulator, &token, "Content-Encoding: br\r\n", &rows).status, 415);
    assert_eq!(emulator.rows(TABLE).len(), rows.len() * 2);
}

#[test]
fn four_mebibytes_are_taken_and_one_byte_more_is_not() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let mut body = vec![b'x'; 4_194_304];
    body[..6].copy_from_slice(b"{\"a\":\"");
    body[4_194_301..].copy_from_slice(b"\"}\n");
    assert_eq!(elastic(&emulator, &token, "", &body).status, 200);
    body.insert(10, b'x');
    assert_eq!(elastic(&emulator, &token, "", &body).refusal().0, 413);
    assert_eq!(emulator.rows(TABLE).len(), 4_194_304);
    let bomb = zstd::bulk::compress(&vec![b' '; 300 << 20], 1).unwrap();
    assert_eq!(elastic(&emulator, &token, "Content-Encoding: zstd\r\n", &bomb).refusal().0, 413);
}

#[test]
fn wrong_types_and_fields_are_refused() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let headers = format!("Content-Type: application/json\r\n{}", bearer(&token));
    let target = "/v2/streaming/data/databases/D/schemas/S/tables/T/rows";
    assert_eq!(send(&emulator, "POST", target, &headers, b"{}\n").status, 415);
    let untyped = send(&emulator, "PUT", &format!("{PIPE}/channels/c"), &bearer(&token), b"{}");
    assert_eq!(untyped.status, 415);
    assert_eq!(open(&emulator, &token, "c", r#"{"fail_on_uncommited_rows":true}"#).status, 400);
    assert_eq!(open(&emulator, &token, "c", "[").status, 400);
    let bad_id = open(&emulator, &token, "c?requestId=7", "{}");
    assert_eq!(bad_id.refusal().0, 400);
}

// ---- faults and control

#[test]
fn scripted_answers_come_as_often_as_asked_and_apply_nothing() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let fault = r#"{"endpoint":"elastic","times":2,"status":429,"body":"{\"code\":\"ReceiverSaturated\"}","headers":{"Retry-After":"7"}}"#;
    assert_eq!(control(&emulator, "faults", fault), 200);
    for _ in 0..2 {
        let response = elastic(&emulator, &token, "", b"{}\n");
        assert_eq!(response.refusal(), (429, "ReceiverSaturated".to_owned()));
        assert_eq!(response.header("retry-after"), Some("7"));
    }
    assert_eq!(elastic(&emulator, &token, "", b"{}\n").status, 200);
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn connections_drop_before_and_break_after_the_request_is_applied() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let request =
        rows_request(&token, "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/tables/FLIGHTS/rows", "", b"{}\n");
    emulator.inject(Fault::drop_connection(Endpoint::Elastic));
    assert!(try_send(&emulator, &request).is_none());
    assert!(emulator.rows(TABLE).is_empty());
    emulator.inject(Fault::truncate(Endpoint::Elastic));
    let mut connection = connect(&emulator);
    connection.get_mut().write_all(&request).unwrap();
    let mut response = Vec::new();
    connection.read_to_end(&mut response).unwrap();
    let text = String::from_utf8(response).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\r\n\r\n{\"") && !text.ends_with('}'), "{text}");
    emulator.inject(Fault::delay(Endpoint::Elastic, Duration::from_millis(5)));
    assert_eq!(try_send(&emulator, &request).unwrap().status, 200);
    assert_eq!(emulator.rows(TABLE), b"{}\n{}\n");
}

#[test]
fn answers_come_in_their_other_forms_on_request() {
    let emulator = prompt();
    let login = jwt(&emulator);
    let nobody = || {
        let response = send(&emulator, "GET", "/v2/streaming/hostname", "Accept: */*\r\n", b"");
        (response.status, response.text().to_owned())
    };
    assert_eq!(control(&emulator, "answers", r#"{"words":"object","errors":"error_code"}"#), 200);
    assert_eq!(hostname(&emulator, &login).text(), r#"{"hostname":"127.0.0.1"}"#);
    let token = exchange(&emulator, &login, EXCHANGE).json()["token"].clone();
    assert_eq!(open(&emulator, token.as_str().unwrap(), "c", "{}").status, 200);
    let message = "Authorization header not found in the request data.";
    assert_eq!(nobody(), (401, json!({"error_code": "390101", "message": message}).to_string()));
    assert_eq!(control(&emulator, "answers", r#"{"words":"string","errors":"string"}"#), 200);
    assert_eq!(hostname(&emulator, &login).text(), r#""127.0.0.1""#);
    assert_eq!(nobody(), (401, r#""390101""#.to_owned()));
    emulator.answer_errors_as(ErrorForm::Text);
    assert_eq!(nobody(), (401, "Unauthorized".to_owned()));
    emulator.answer_errors_as(ErrorForm::Error);
    assert_eq!(nobody(), (401, json!({"error": "390101", "message": message}).to_string()));
    emulator.answer_errors_as(ErrorForm::Empty);
    assert_eq!(nobody(), (401, String::new()));
    emulator.answer_words_as(WordForm::Text);
    assert_eq!(hostname(&emulator, &login).text(), "127.0.0.1");
    assert_eq!(control(&emulator, "answers", r#"{"words":"xml"}"#), 400);
}

#[test]
fn it_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&prompt());
}

#[test]
fn malformed_control_requests_are_told_what_is_wrong() {
    let emulator = prompt();
    for (action, body) in [
        ("faults", r#"{"endpoint":"append","status":"x"}"#),
        ("faults", r#"{"endpoint":"nowhere","status":500}"#),
        ("faults", "no json"),
        ("commits", r#"{"hold":"yes"}"#),
        ("commits", "{}"),
        ("tokens", r#"{"revoke":"all"}"#),
        ("tokens", "{}"),
        ("rejections", r#"{"contains":"x"}"#),
        ("channels", r#"{"action":"steal","pipe":"P","channel":"c"}"#),
        ("clock", r#"{"offset_seconds":"1"}"#),
        ("nothing", "{}"),
        ("rows", ""),
    ] {
        let response = send(&emulator, "POST", &format!("/_emulator/{action}"), "", body.as_bytes());
        assert!((400..500).contains(&response.status), "{action} {body}");
        assert!(response.json()["message"].as_str().is_some_and(|m| !m.is_empty()));
    }
    assert_eq!(send(&emulator, "GET", "/_emulator/rows", "", b"").status, 400);
    assert_eq!(send(&emulator, "GET", "/_emulator/rows?table=A.B", "", b"").status, 400);
    let unknown = send(&emulator, "GET", "/_emulator/rows?table=A.B.C", "", b"");
    assert_eq!((unknown.status, unknown.body.len()), (200, 0));
}

#[test]
fn the_log_holds_every_request_and_no_secret() {
    let emulator = prompt();
    let login = jwt(&emulator);
    let form = format!("{EXCHANGE}&assertion={login}");
    let token = exchange(&emulator, &login, &form).text().to_owned();
    open(&emulator, &token, "c?requestId=7f6f9d1e-3f0a-4a51-9d0e-3d4b7c2a1f00", "{}");
    send(&emulator, "GET", "/nowhere?a=b", "Cookie: secret\r\n", b"");
    let log = send(&emulator, "GET", "/_emulator/requests", "", b"");
    assert!(!log.text().contains(&login) && !log.text().contains(&token) && !log.text().contains("secret"));
    let log = log.json();
    let log = log.as_array().unwrap();
    assert_eq!(log.len(), 3);
    assert_eq!(log[0]["path"], "/oauth/token");
    assert_eq!(log[0]["body_bytes"], form.len());
    assert_eq!(log[1]["method"], "PUT");
    assert_eq!(log[1]["query"], "requestId=7f6f9d1e-3f0a-4a51-9d0e-3d4b7c2a1f00");
    assert_eq!(log[1]["headers"]["accept"], "application/json");
    assert_eq!(log[1]["status"], 200);
    assert!(log[1]["at_ms"].is_i64());
    assert_eq!(log[2]["status"], 404);
}

// ---- HTTP

#[test]
fn requests_may_be_pipelined_chunked_and_announced() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let mut connection = connect(&emulator);
    let target = "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/tables/FLIGHTS/rows";
    let plain = rows_request(&token, target, "", b"{\"n\":1}\n");
    let chunked = format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\n{ROWS}{}Transfer-Encoding: chunked\r\n\r\n4;ext=1\r\n{{\"n\"\r\n4\r\n:2}}\n\r\n0\r\nTrailer: x\r\n\r\n",
        bearer(&token)
    );
    connection.get_mut().write_all(&[plain.as_slice(), chunked.as_bytes()].concat()).unwrap();
    assert_eq!(read_answer(&mut connection).unwrap().status, 200);
    assert_eq!(read_answer(&mut connection).unwrap().status, 200);
    let announced = format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\n{ROWS}{}Expect: 100-continue\r\nContent-Length: 8\r\n\r\n",
        bearer(&token)
    );
    connection.get_mut().write_all(announced.as_bytes()).unwrap();
    let mut invitation = [0; 25];
    connection.read_exact(&mut invitation).unwrap();
    assert_eq!(&invitation, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.get_mut().write_all(b"{\"n\":3}\n").unwrap();
    assert_eq!(read_answer(&mut connection).unwrap().status, 200);
    assert_eq!(emulator.rows(TABLE), b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
}

#[test]
fn garbage_is_refused_and_the_service_goes_on() {
    let emulator = prompt();
    for (bytes, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\n\r\n\r\n"[..], 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"PATCH /oauth/token HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ] {
        let response = try_send(&emulator, bytes).unwrap();
        assert_eq!(response.status, status, "{}", String::from_utf8_lossy(bytes));
    }
    let mut long = b"GET / HTTP/1.1\r\nA: ".to_vec();
    long.resize(40_000, b'a');
    assert_eq!(try_send(&emulator, &long).unwrap().status, 431);
    let token = scoped(&emulator);
    let whole =
        rows_request(&token, "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/tables/FLIGHTS/rows", "", b"{}\n{}\n");
    let mut cut = connect(&emulator);
    cut.get_mut().write_all(&whole[..whole.len() - 3]).unwrap();
    cut.get_ref().shutdown(Shutdown::Write).unwrap();
    assert!(read_answer(&mut cut).is_none());
    assert!(emulator.rows(TABLE).is_empty());
    assert_eq!(hostname(&emulator, &jwt(&emulator)).status, 200);
}

#[test]
fn heads_that_do_not_come_hold_nobody_up_and_are_given_up() {
    let emulator = prompt();
    let mut slow: Vec<_> = (0..50).map(|_| connect(&emulator)).collect();
    for connection in &mut slow {
        connection.get_mut().write_all(b"GET /v2/streaming/hostname HTTP/1.1\r\nHost: x\r\nA: ").unwrap();
    }
    assert_eq!(hostname(&emulator, &jwt(&emulator)).status, 200);
    // A byte now and then does not help: the whole head has its time.
    let start = Instant::now();
    let mut trickling = slow.pop().unwrap();
    while trickling.get_mut().write_all(b"a").is_ok() && start.elapsed() < Duration::from_secs(19) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(start.elapsed() < Duration::from_secs(19), "the head was still awaited");
    for connection in &mut slow {
        assert!(read_answer(connection).is_none());
    }
    assert_eq!(emulator.requests().len(), 1);
}

#[test]
fn a_connection_goes_on_after_every_refusal() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let target = "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/tables/FLIGHTS/rows";
    let rows = b"{\"a\":\"some text, some text\"}\n".repeat(500);
    let gzip = |rows: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(rows).unwrap();
        gzip.finish().unwrap()
    };
    let zstd = zstd::bulk::compress(&rows, 1).unwrap();
    let bomb = gzip(&vec![b' '; 300 << 20]);
    let (gzip_is, zstd_is) = ("Content-Encoding: gzip\r\n", "Content-Encoding: zstd\r\n");
    let mut connection = connect(&emulator);
    for (encoding, body, status) in [
        (gzip_is, &rows[..], 400),
        (gzip_is, &gzip(&rows)[..100], 400),
        (gzip_is, &zstd[..], 400),
        (gzip_is, &bomb[..], 413),
        (zstd_is, &zstd[..zstd.len() - 1], 400),
        (zstd_is, b"", 400),
        ("", &vec![b' '; 30 << 20][..], 413),
        ("", &b"{}\n"[..], 200),
    ] {
        connection.get_mut().write_all(&rows_request(&token, target, encoding, body)).unwrap();
        assert_eq!(read_answer(&mut connection).unwrap().status, status, "{encoding}{} bytes", body.len());
    }
    assert_eq!(emulator.rows(TABLE), b"{}\n");
}

#[test]
fn two_hundred_connections_are_served_at_once() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let request =
        rows_request(&token, "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/tables/FLIGHTS/rows", "", b"{}\n");
    let mut connections: Vec<_> = (0..200).map(|_| connect(&emulator)).collect();
    for connection in &mut connections {
        connection.get_mut().write_all(&request).unwrap();
    }
    for connection in &mut connections {
        assert_eq!(read_answer(connection).unwrap().status, 200);
    }
    assert_eq!(emulator.rows(TABLE), b"{}\n".repeat(200));
}

#[test]
fn one_of_many_concurrent_openers_wins() {
    let emulator = prompt();
    let token = scoped(&emulator);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| opened(&emulator, &token, "c"))).collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    });
    let accepted = tokens.iter().filter(|continuation| {
        append(&emulator, &token, &format!("continuationToken={continuation}"), b"{}\n").status == 200
    });
    assert_eq!(accepted.count(), 1);
}

#[test]
fn dropping_the_emulator_closes_its_connections_and_its_port() {
    let emulator = prompt();
    let address = emulator.url().strip_prefix("http://").unwrap().to_owned();
    emulator.inject(Fault::delay(Endpoint::Hostname, Duration::from_secs(3600)));
    let mut idle = connect(&emulator);
    let mut waiting = connect(&emulator);
    let login = jwt(&emulator);
    waiting.get_mut().write_all(&request("GET", "/v2/streaming/hostname", &bearer(&login), b"")).unwrap();
    eventually(|| emulator.requests().len() == 1);
    drop(emulator);
    assert!(read_answer(&mut idle).is_none());
    assert!(read_answer(&mut waiting).is_none());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn tls_is_spoken_with_a_certificate_by_the_given_authority() {
    let emulator = Emulator::builder().tls().start().unwrap();
    let address = emulator.url().strip_prefix("https://").unwrap();
    let der = pem::parse(emulator.ca_pem().unwrap()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der.contents().to_vec().into()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = std::sync::Arc::new(config);
    let ask = |name: &'static str| {
        let client = rustls::ClientConnection::new(config.clone(), name.try_into().unwrap());
        let socket = TcpStream::connect(address).unwrap();
        let mut stream = BufReader::new(rustls::StreamOwned::new(client.unwrap(), socket));
        let headers = bearer(&jwt(&emulator));
        let bytes = request("GET", "/v2/streaming/hostname", &headers, b"");
        stream.get_mut().write_all(&bytes).ok()?;
        read_answer(&mut stream)
    };
    assert_eq!(ask("127.0.0.1").unwrap().text(), "127.0.0.1");
    assert_eq!(ask("localhost").unwrap().status, 200);
    assert!(ask("example.com").is_none());
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut response = Vec::new();
    let _ = plain.read_to_end(&mut response);
    assert!(!response.starts_with(b"HTTP/"));
}

// ---- state

fn fresh_dir() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("emulator-{}", uuid::Uuid::new_v4()))
}

fn with_state(dir: &std::path::Path) -> Emulator {
    Emulator::builder().commit_delay(Duration::ZERO).state(dir).start().unwrap()
}

#[test]
fn what_was_committed_outlives_the_process_and_the_rest_does_not() {
    let dir = fresh_dir();
    let emulator = with_state(&dir);
    let token = scoped(&emulator);
    let first = opened(&emulator, &token, "c");
    let query = format!("endOffsetToken=2&continuationToken={first}&requestId={UUID}");
    let second = next(&append(&emulator, &token, &query, b"{\"a\":1}\nbad\n"));
    assert_eq!(status(&emulator, &token)["last_committed_offset_token"], "2");
    assert_eq!(elastic(&emulator, &token, "", b"{\"e\":1}\n").status, 200);
    let zstd = zstd::bulk::compress(&b"{\"z\":1}\n".repeat(99), 1).unwrap();
    emulator.hold_commits(true);
    assert_eq!(elastic(&emulator, &token, "Content-Encoding: zstd\r\n", &zstd).status, 200);
    let query = format!("endOffsetToken=3&continuationToken={second}");
    let third = next(&append(&emulator, &token, &query, b"{\"a\":3}\n"));
    drop(emulator);

    let emulator = with_state(&dir);
    let rows = [b"{\"a\":1}\n{\"e\":1}\n".as_slice(), &b"{\"z\":1}\n".repeat(99)].concat();
    assert_eq!(emulator.rows(TABLE), rows);
    assert_eq!(emulator.row_count(TABLE), 101);
    let restored = status(&emulator, &token);
    assert_eq!(restored["last_committed_offset_token"], "2");
    assert_eq!(restored["rows_inserted"], 1);
    assert_eq!(restored["rows_error_count"], 1);
    assert_eq!(restored["channel_name"], "c");
    let elastic = statuses(&emulator, &token, r#"{"channel_names":["ELASTIC"]}"#);
    assert_eq!(elastic["ELASTIC"]["rows_inserted"], 100);
    assert!(elastic["ELASTIC"]["created_on_ms"].as_i64().unwrap() > 1_600_000_000_000);
    let query = format!("continuationToken={third}");
    assert_eq!(
        append(&emulator, &token, &query, b"{}\n").refusal(),
        (400, "STALE_CONTINUATION_TOKEN_SEQUENCER".to_owned())
    );
    let query = format!("endOffsetToken=2&continuationToken={first}&requestId={UUID}");
    assert_eq!(next(&append(&emulator, &token, &query, b"{\"a\":1}\n")), second);
    let reopened = opened(&emulator, &token, "c");
    assert_ne!(reopened.split('_').next(), first.split('_').next());
    let dropped = send(&emulator, "DELETE", &format!("{PIPE}/channels/c"), &bearer(&token), b"");
    assert_eq!(dropped.status, 200);
    emulator.revoke_scoped_tokens();
    drop(emulator);

    let emulator = with_state(&dir);
    assert_eq!(emulator.rows(TABLE), rows);
    assert_eq!(open(&emulator, &token, "c", "{}").status, 401, "revoked for good");
    assert_eq!(status(&emulator, &scoped(&emulator)), Value::Null);
    drop(emulator);
    std::fs::remove_dir_all(dir).unwrap();
}

/// The issuer is the address, so it has to be the same again, should somebody else have it meanwhile.
fn restarted(emulator: Emulator, dir: &std::path::Path) -> Emulator {
    let port = emulator.url().rsplit_once(':').unwrap().1.parse().unwrap();
    drop(emulator);
    let mut next = None;
    eventually(|| {
        next = Emulator::builder().state(dir).port(port).start().ok();
        next.is_some()
    });
    next.unwrap()
}

#[test]
fn access_tokens_outlive_the_process_and_so_does_their_revocation() {
    let dir = fresh_dir();
    let emulator = with_state(&dir);
    let (token, jwk) = (access_token(&emulator), published_key(&emulator));
    let emulator = restarted(emulator, &dir);
    assert_eq!(log_in_with(&emulator, &token).status, 200);
    assert_eq!(published_key(&emulator), jwk);
    assert_eq!(control(&emulator, "tokens", r#"{"revoke":"access"}"#), 200);
    assert_eq!(log_in_with(&emulator, &token).refusal(), (401, "390303".to_owned()));
    let next = access_token(&emulator);
    let emulator = restarted(emulator, &dir);
    assert_eq!(log_in_with(&emulator, &token).refusal(), (401, "390303".to_owned()), "revoked for good");
    assert_eq!(log_in_with(&emulator, &next).status, 200);
    drop(emulator);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_state_folder_of_before_gets_the_key_that_it_lacks() {
    let dir = fresh_dir();
    let file = dir.join("secrets.json");
    let secrets = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();
    let emulator = with_state(&dir);
    let scoped = scoped(&emulator);
    let mut before = secrets();
    before.as_object_mut().unwrap().retain(|name, _| !["signing_key", "access_generation"].contains(&name.as_str()));
    before["access"] = json!(vec![7; 32]);
    std::fs::write(&file, before.to_string()).unwrap();
    let emulator = restarted(emulator, &dir);
    assert_eq!(open(&emulator, &scoped, "c", "{}").status, 200);
    let token = access_token(&emulator);
    assert!(secrets()["signing_key"].is_array());
    let emulator = restarted(emulator, &dir);
    assert_eq!(log_in_with(&emulator, &token).status, 200);
    drop(emulator);
    std::fs::remove_dir_all(dir).unwrap();
}

struct KilledAtLast(std::process::Child);

impl Drop for KilledAtLast {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Serves until it is killed. No test of its own: the next one runs it in another process.
#[test]
fn serve_until_killed() {
    let Ok(dir) = std::env::var("EMULATOR_TEST_STATE") else {
        return;
    };
    let key = std::fs::read_to_string(format!("{dir}/key.pem")).unwrap();
    let builder = Emulator::builder().commit_delay(Duration::ZERO);
    let emulator = builder.private_key_pem(key).state(&dir).start().unwrap();
    std::fs::write(format!("{dir}/url.new"), emulator.url()).unwrap();
    std::fs::rename(format!("{dir}/url.new"), format!("{dir}/url")).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn what_was_committed_outlives_a_kill() {
    let dir = fresh_dir();
    std::fs::create_dir_all(&dir).unwrap();
    let spare = prompt();
    std::fs::write(dir.join("key.pem"), spare.private_key_pem().unwrap()).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "serve_until_killed"])
        .env("EMULATOR_TEST_STATE", &dir)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let child = KilledAtLast(child);
    eventually(|| dir.join("url").exists());
    let url = std::fs::read_to_string(dir.join("url")).unwrap();
    let address = url.strip_prefix("http://").unwrap();
    let ask = |bytes: &[u8]| {
        let mut connection = BufReader::new(TcpStream::connect(address).unwrap());
        connection.get_mut().write_all(bytes).unwrap();
        read_answer(&mut connection).unwrap()
    };
    let login = format!("{FORM}{}", bearer(&jwt(&spare)));
    let token = ask(&request("POST", "/oauth/token", &login, EXCHANGE.as_bytes())).text().to_owned();
    let json = format!("{JSON}{}", bearer(&token));
    let channel = format!("{PIPE}/channels/c");
    let mut turn = next(&ask(&request("PUT", &channel, &json, b"{}")));
    for row in 1..=20 {
        let target = format!("{DATA}/channels/c/rows?endOffsetToken={row}&continuationToken={turn}");
        turn = next(&ask(&rows_request(&token, &target, "", format!("{{\"n\":{row}}}\n").as_bytes())));
    }
    let asked = request("POST", &format!("{PIPE}:bulk-channel-status"), &json, br#"{"channel_names":["c"]}"#);
    let status = ask(&asked).json()["channel_statuses"]["c"].clone();
    assert_eq!(status["last_committed_offset_token"], "20");
    drop(child);

    let emulator = with_state(&dir);
    let rows: String = (1..=20).map(|row| format!("{{\"n\":{row}}}\n")).collect();
    assert_eq!(emulator.rows(TABLE), rows.as_bytes());
    assert_eq!(self::status(&emulator, &token)["last_committed_offset_token"], "20");
    let query = format!("endOffsetToken=21&continuationToken={turn}");
    next(&append(&emulator, &token, &query, b"{\"n\":21}\n"));
    drop(emulator);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn discarded_rows_are_counted() {
    let emulator = Emulator::builder().commit_delay(Duration::ZERO).discard_rows().start().unwrap();
    let token = scoped(&emulator);
    assert_eq!(elastic(&emulator, &token, "", b"{}\n[]\n{}\n").status, 200);
    assert_eq!(emulator.row_count(TABLE), 2);
    let target = "/_emulator/counts?table=DEMO.PUBLIC.FLIGHTS";
    assert_eq!(send(&emulator, "GET", target, "", b"").json(), json!({"rows": 2}));
    let rows = send(&emulator, "GET", "/_emulator/rows?table=DEMO.PUBLIC.FLIGHTS", "", b"");
    assert_eq!(rows.status, 409);
}

// ---- speed

/// Tells how fast one connection lands rows. It asserts nothing about time; run it in release:
/// `EMULATOR_TEST_ROWS=rows.ndjson cargo test --release --test emulator -- --ignored --nocapture throughput`
#[test]
#[ignore = "a measurement"]
fn throughput_of_one_connection() {
    let all = std::env::var("EMULATOR_TEST_ROWS").map_or_else(|_| made_up_rows(), |file| std::fs::read(file).unwrap());
    let zstd = |text: &[u8]| zstd::bulk::compress(text, 1).unwrap();
    let (small, large) = (whole_lines(&all, 4_000_000), whole_lines(&all, 16_000_000));
    for (name, encoding, body, len) in [
        ("plain, 4 MB a request", "", small.to_vec(), small.len()),
        ("zstd, 4 MB a request", "Content-Encoding: zstd\r\n", zstd(small), small.len()),
        ("zstd, 16 MB a request", "Content-Encoding: zstd\r\n", zstd(large), large.len()),
    ] {
        let count = 800_000_000 / len;
        let emulator = prompt();
        let token = scoped(&emulator);
        let mut connection = connect(&emulator);
        let mut turn = opened(&emulator, &token, "c");
        let start = Instant::now();
        for _ in 0..count {
            let target = format!("{DATA}/channels/c/rows?continuationToken={turn}");
            let bytes = rows_request(&token, &target, encoding, &body);
            connection.get_mut().write_all(&bytes).unwrap();
            turn = next(&read_answer(&mut connection).unwrap());
        }
        let seconds = start.elapsed().as_secs_f64();
        let rows = memchr::memchr_iter(b'\n', if len == small.len() { small } else { large }).count();
        assert_eq!(emulator.row_count(TABLE), (rows * count) as u64);
        println!("{name}: {:.0} MB/s", (count * len) as f64 / 1e6 / seconds);
    }
}

fn made_up_rows() -> Vec<u8> {
    let row = |n: usize| {
        format!(
            "{{\"YEAR\":2013,\"MONTH\":1,\"DAY\":{},\"DEP_TIME\":{},\"ARR_DELAY\":-{}.5,\"CARRIER\":\"UA\",\"FLIGHT\":{n},\
             \"TAILNUM\":\"N{:05}\",\"ORIGIN\":\"EWR\",\"DEST\":null,\"TIME_HOUR\":\"2013-01-{:02}T10:00:00Z\"}}\n",
            n % 28 + 1,
            n % 2400,
            n % 60,
            n * 7919 % 100_000,
            n % 28 + 1
        )
    };
    (0..100_000).flat_map(|n| row(n).into_bytes()).collect()
}

/// The lines that begin a text, as many as the bytes allow.
fn whole_lines(text: &[u8], bytes: usize) -> &[u8] {
    let cut = &text[..bytes.min(text.len())];
    &cut[..memchr::memrchr(b'\n', cut).unwrap() + 1]
}
