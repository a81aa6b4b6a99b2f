//! Appends from several threads through one `Elastic`: at least once, in no order, without a channel.
//!
//! ```text
//! cargo run --features emulator --example elastic
//! ```

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use snowpipe_streaming::emulator::Emulator;
use snowpipe_streaming::{Batch, Client, Credentials, Elastic, PrivateKey};

fn main() -> Result<(), Box<dyn Error>> {
    let service = Emulator::start()?;
    let key = PrivateKey::from_pem(service.private_key_pem().ok_or("the emulator has no key")?)?;
    let credentials = Credentials::key_pair(service.user(), key);
    let client = Client::builder(service.account(), credentials).url(service.url()).build()?;
    let elastic = client.table("DEMO", "PUBLIC", "CLICKS").elastic();

    thread::scope(|scope| {
        let elastic = &elastic;
        let workers: Vec<_> = (0..4).map(|worker| scope.spawn(move || append(elastic, worker))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    println!("stored: {} rows", client.counters().rows);

    // A success means stored; visible comes a little later.
    let deadline = Instant::now() + Duration::from_secs(10);
    while service.row_count("DEMO.PUBLIC.CLICKS") < 1000 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    println!("landed: {} rows", service.row_count("DEMO.PUBLIC.CLICKS"));
    Ok(())
}

fn append(elastic: &Elastic, worker: u64) -> Result<(), snowpipe_streaming::Error> {
    let mut batch = Batch::new();
    for click in 0..250 {
        // An id of its own makes a row recognisable if it is ever stored twice.
        batch.push(&serde_json::json!({ "ID": format!("{worker}-{click}"), "PAGE": "/" }))?;
    }
    elastic.append(&batch)
}
