//! Logs in as an OAuth client (client credentials), found by OpenID Connect discovery, and loads a few rows.
//!
//! ```text
//! cargo run --features emulator --example oauth
//! ```

use std::error::Error;

use snowpipe_streaming::emulator::Emulator;
use snowpipe_streaming::{Client, ClientCredentials, Credentials, Loader, Source};

fn main() -> Result<(), Box<dyn Error>> {
    // With an account of your own, the issuer is that of the account's External OAuth integration.
    let service = Emulator::start()?;
    let (id, secret) = service.oauth_client();
    let oauth = ClientCredentials::of_issuer(service.oauth_issuer(), id, secret).scope("session:role:INGEST");
    let credentials = Credentials::client_credentials(oauth);
    let client = Client::builder(service.account(), credentials).url(service.url()).build()?;
    println!("built:      OAuth client {id} of {}; nothing was sent yet", service.oauth_issuer());

    client.token()?;
    for request in service.requests() {
        println!("logged in:  {} {} -> {}", request.method, request.path, request.status.unwrap_or_default());
    }

    let pipe = client.table("DEMO", "PUBLIC", "EVENTS");
    let rows = (1..=5).map(|id| format!("{{\"ID\":{id},\"TEXT\":\"row {id}\"}}\n")).collect::<String>();
    let report = Loader::new(&pipe, "oauth-1").load(Source::reader("five rows", rows.as_bytes()))?;
    println!("loaded:     {} rows, {} committed", report.rows_sent, report.rows);

    service.revoke_access_tokens();
    service.revoke_scoped_tokens();
    let report = Loader::new(&pipe, "oauth-2").load(Source::reader("five rows", rows.as_bytes()))?;
    let renewals = client.counters().renewals;
    println!("renewed:    {} rows more after both tokens were revoked, {renewals} renewals", report.rows);
    println!("landed:     {} rows", service.row_count("DEMO.PUBLIC.EVENTS"));
    Ok(())
}
