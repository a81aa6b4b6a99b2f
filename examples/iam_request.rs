//! Hii Retail: calls that the typed client lacks, here those of users, with the same tokens, retries and errors.
//!
//! ```text
//! cargo run --features emulator,hiiretail --example iam_request
//! ```

use std::error::Error;

use serde_json::{Value, json};
use snowpipe_streaming::emulator::HiiRetail;
use snowpipe_streaming::emulator::hiiretail::TokenRefusal;
use snowpipe_streaming::hiiretail::{Iam, Method, Ocms};

fn main() -> Result<(), Box<dyn Error>> {
    // With a client of your own: `Iam::from_environment()`.
    let service = HiiRetail::start()?;
    let client = Ocms::new(service.client_id(), service.client_secret()).issuer(service.url());
    let iam = Iam::builder(service.tenant(), client).api_url(service.url()).build()?;

    let ann = json!({"name": "Ann", "email": "ann@example.com", "type": "Standalone", "scope": "Staff"});
    let ann: Value = iam.request(Method::Post, "/api/v1/tenants/{tenant}/users").body(&ann).send()?;
    let id = ann["id"].as_str().ok_or("the user has no id")?;
    println!("created:  {}", ann["email"]);

    service.refuse_tokens_as(TokenRefusal::Unauthorized);
    service.expire_tokens();
    let find = iam.request(Method::Get, "/api/v1/tenants/{tenant}/users:find").query("email", "ann@example.com");
    let found: Value = find.send()?;
    println!("found:    {}, with a token renewed {} time", found["name"], iam.counters().renewals);

    iam.request(Method::Delete, "/api/v2/tenants/{tenant}/users/{id}").set("id", id).send::<()>()?;
    let left: Vec<Value> = iam.request(Method::Get, "/api/v1/tenants/{tenant}/users").send()?;
    println!("deleted:  {} users are left", left.len());
    Ok(())
}
