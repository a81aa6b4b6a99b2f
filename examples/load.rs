//! Loads a file of NDJSON, every row once: a second run finds everything committed and sends nothing.
//!
//! ```text
//! cargo run --features emulator --example load
//! ```

use std::error::Error;

use snowpipe_streaming::emulator::Emulator;
use snowpipe_streaming::{Client, Credentials, Loader, PrivateKey, Source};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights.ndjson");

fn main() -> Result<(), Box<dyn Error>> {
    // With an account of your own: its identifier, your user and key file, and no `url`.
    let service = Emulator::start()?;
    let key = PrivateKey::from_pem(service.private_key_pem().ok_or("the emulator has no key")?)?;
    let credentials = Credentials::key_pair(service.user(), key);
    let client = Client::builder(service.account(), credentials).url(service.url()).build()?;
    let pipe = client.table("DEMO", "PUBLIC", "FLIGHTS");

    for run in ["first run: ", "second run:"] {
        let report = Loader::new(&pipe, "load-1").load(Source::file(FILE)?)?;
        println!("{run} {} rows sent; {} stored, {} of them before", report.rows_sent, report.rows, report.skipped);
    }
    println!("landed:     {} rows", service.row_count("DEMO.PUBLIC.FLIGHTS"));
    Ok(())
}
