//! The emulator of Hii Retail, spoken to in requests that are written by hand.

mod assignments;
mod clients;
mod control;
mod faults;
mod groups;
mod refusals;
mod resources;
mod roles;
mod tokens;
mod users;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use snowpipe_emulator::HiiRetail;

use crate::support::client::Client;
use crate::support::request::Request;
use crate::support::response::Response;

const GRANT: &str = "grant_type=client_credentials&audience=https%3A%2F%2Fhiiretail.com";

/// A service of tenant `t`, whose client `id` has the secret `secret`.
fn service() -> HiiRetail {
    HiiRetail::builder().tenant("t").client("id", "secret").start().unwrap()
}

/// Without a token.
fn anonymous(service: &HiiRetail) -> Client {
    Client::to(service.url())
}

/// Asks for a token with the id and the secret in the header.
fn ask(service: &HiiRetail, id: &str, secret: &str, form: &str) -> Response {
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    anonymous(service).send(Request::post("/oauth2/token").header("Authorization", &basic).form(form))
}

fn token(service: &HiiRetail) -> String {
    ask(service, "id", "secret", GRANT).ok().json()["access_token"].as_str().unwrap().to_owned()
}

/// With a token of the tenant.
fn logged_in(service: &HiiRetail) -> Client {
    Client::at(service.url(), &token(service))
}

/// The body of an error, which has its status twice.
#[track_caller]
fn assert_error(response: &Response, status: u16, error: &str, message: Value) {
    let expected = json!({"statusCode": status, "message": message, "error": error});
    assert_eq!((response.status, response.json()), (status, expected));
}

#[track_caller]
fn assert_empty(response: &Response, status: u16) {
    assert_eq!((response.status, response.text(), response.header("content-type")), (status, "", None));
}
