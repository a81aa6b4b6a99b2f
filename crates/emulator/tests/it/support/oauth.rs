//! What a client of the embedded authorization server does.

use serde_json::Value;
use snowpipe_emulator::Emulator;

use super::client::Client;
use super::request::Request;
use super::response::Response;

pub fn access_token(emulator: &Emulator) -> String {
    let (id, secret) = emulator.oauth_client();
    let form = format!(
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=openid+session%3Arole%3AINGEST"
    );
    let response = Client::anonymous(emulator).send(Request::post("/oauth2/token").form(&form)).ok();
    response.json()["access_token"].as_str().unwrap().to_owned()
}

/// Logs in to the account with a token that is declared as an access token.
pub fn log_in_with(emulator: &Emulator, access_token: &str) -> Response {
    let request = Request::get("/v2/streaming/hostname").header("X-Snowflake-Authorization-Token-Type", "OAUTH");
    Client::with_token(emulator, access_token).send(request)
}

/// The one key that the metadata lead to.
pub fn published_key(emulator: &Emulator) -> Value {
    let client = Client::anonymous(emulator);
    let metadata = client.send(Request::get("/oauth2/.well-known/openid-configuration")).json();
    let uri = metadata["jwks_uri"].as_str().unwrap();
    assert_eq!(uri, format!("{}/oauth2/jwks", emulator.url()));
    let response = client.send(Request::get(uri.strip_prefix(emulator.url()).unwrap()));
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    let keys = response.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    keys["keys"][0].clone()
}
