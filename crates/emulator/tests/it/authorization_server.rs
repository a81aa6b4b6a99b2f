//! The embedded authorization server, and what the account makes of its access tokens.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::sha2::{Digest, Sha256};
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use serde_json::{Value, json};
use snowpipe_emulator::Emulator;

use crate::support::client::{ACCESS_EXCHANGE, Client, JWT_EXCHANGE};
use crate::support::keys::{key_of, sign, unsigned_jwt};
use crate::support::oauth::{access_token, log_in_with, published_key};
use crate::support::request::Request;
use crate::support::response::Response;
use crate::support::{jwt_part, prompt, unix_seconds};

fn public_key(jwk: &Value) -> RsaPublicKey {
    let number = |name: &str| BigUint::from_bytes_be(&URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap());
    RsaPublicKey::new(number("n"), number("e")).unwrap()
}

#[test]
fn it_issues_access_tokens_to_its_client() {
    let emulator = Emulator::builder().oauth_client("the id", "s:cret").start().unwrap();
    let client = Client::anonymous(&emulator);
    let metadata = client.send(Request::get("/oauth2/.well-known/openid-configuration")).json();
    assert_eq!(metadata["issuer"], format!("{}/oauth2", emulator.url()));
    assert_eq!(metadata["token_endpoint"], format!("{}/oauth2/token", emulator.url()));

    let post = |form: &str| client.send(Request::post("/oauth2/token").form(form));
    let granted =
        post("grant_type=client_credentials&client_id=the+id&client_secret=s%3Acret&scope=session%3Arole%3AR").json();
    assert_eq!(granted["token_type"], "Bearer");
    assert_eq!(granted["expires_in"], 3600);
    assert_eq!(granted["scope"], "session:role:R");
    let basic = format!("Basic {}", STANDARD.encode("the+id:s%3Acret"));
    let post_basic =
        |form: &str| client.send(Request::post("/oauth2/token").header("Authorization", &basic).form(form));
    let granted = post_basic("grant_type=client_credentials").json();
    assert_eq!(log_in_with(&emulator, granted["access_token"].as_str().unwrap()).text(), "127.0.0.1");

    let wrong = post("grant_type=client_credentials&client_id=the+id&client_secret=x");
    assert_eq!((wrong.status, wrong.json()["error"].clone()), (401, json!("invalid_client")));
    assert!(wrong.header("www-authenticate").is_some());
    let wrong = post_basic("grant_type=password");
    assert_eq!((wrong.status, wrong.json()["error"].clone()), (400, json!("unsupported_grant_type")));
}

#[test]
fn an_access_token_is_exchanged_with_its_own_grant_and_opens_the_account_host_only() {
    let emulator = prompt();
    let token = access_token(&emulator);
    let client = Client::with_token(&emulator, &token);
    let typed = || Request::post("/oauth/token").header("X-Snowflake-Authorization-Token-Type", "OAUTH");
    client.send(typed().form(JWT_EXCHANGE)).assert_refused(400, "unsupported_grant_type");
    let scoped = Client::with_token(&emulator, client.send(typed().form(ACCESS_EXCHANGE)).text());
    assert_eq!(scoped.try_open("c", "{}").status, 200);
    let form = format!("{ACCESS_EXCHANGE}&subject_token={token}");
    let in_form = Request::post("/oauth/token").header("Accept", "application/json").form(&form);
    assert_eq!(Client::anonymous(&emulator).send(in_form).status, 200);
    let with_jwt: Response = Client::with_jwt(&emulator).exchange(ACCESS_EXCHANGE);
    with_jwt.assert_refused(400, "unsupported_grant_type");

    log_in_with(&emulator, scoped.token()).assert_refused(401, "390303");
    assert_eq!(client.try_open("c", "{}").status, 401);
    emulator.revoke_access_tokens();
    log_in_with(&emulator, &token).assert_refused(401, "390303");
    assert_eq!(scoped.try_open("c", "{}").status, 200, "it has a lifetime of its own");
}

#[test]
fn access_tokens_have_signatures_of_the_published_key() {
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
    assert_eq!(jwt_part(&token, 0), json!({"typ": "JWT", "alg": "RS256", "kid": kid}));
    let claims = jwt_part(&token, 1);
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
    assert_ne!(jwt_part(&access_token(&emulator), 1)["jti"], claims["jti"]);
    assert_eq!(log_in_with(&emulator, &token).status, 200);
    emulator.set_clock_offset(3601);
    log_in_with(&emulator, &token).assert_refused(401, "390318");
}

#[test]
fn only_a_signature_of_the_published_key_logs_in() {
    let emulator = prompt();
    let good = access_token(&emulator);
    let jwk = published_key(&emulator);
    let (key, kid) = (public_key(&jwk), jwk["kid"].as_str().unwrap());
    let claims = jwt_part(&good, 1);
    let unsigned = |algorithm: &str| unsigned_jwt(&json!({"typ": "JWT", "alg": algorithm, "kid": kid}), &claims);
    let assert_refused = |token: &str| {
        assert_eq!(log_in_with(&emulator, token).refusal(), (401, "390303".to_owned()), "{token}");
    };
    assert_refused(&sign(&key_of(&emulator), &unsigned("RS256")));
    let pem = key.to_public_key_pem(LineEnding::LF).unwrap();
    let der = key.to_public_key_der().unwrap();
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), der.as_bytes(), jwk["n"].as_str().unwrap().as_bytes()] {
        let signed = unsigned("HS256");
        let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(&signed).finalize().into_bytes();
        assert_refused(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac)));
    }
    let signature = good.rsplit_once('.').unwrap().1;
    for algorithm in ["none", "None", ""] {
        assert_refused(&format!("{}.", unsigned(algorithm)));
        assert_refused(&format!("{}.{signature}", unsigned(algorithm)));
    }
    let mut longer = claims.clone();
    longer["exp"] = json!(unix_seconds() + 999_999);
    let longer = unsigned_jwt(&json!({"typ": "JWT", "alg": "RS256", "kid": kid}), &longer);
    assert_refused(&format!("{longer}.{signature}"));
    assert_eq!(log_in_with(&emulator, &good).status, 200);
}
