//! Writes rows as they come, and after a crash resumes after the last one that is committed.
//!
//! ```text
//! cargo run --features emulator --example writer
//! ```

use std::error::Error;
use std::time::Duration;

use serde::Serialize;
use snowpipe_streaming::emulator::Emulator;
use snowpipe_streaming::{Client, Credentials, OffsetToken, PrivateKey};

#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Reading {
    id: u64,
    celsius: f64,
}

/// Stands for a queue or a log that can be read again from any place.
fn readings(from: u64) -> impl Iterator<Item = Reading> {
    (from..=1000).map(|id| Reading { id, celsius: id as f64 / 10.0 })
}

fn main() -> Result<(), Box<dyn Error>> {
    let service = Emulator::start()?;
    let key = PrivateKey::from_pem(service.private_key_pem().ok_or("the emulator has no key")?)?;
    let credentials = Credentials::key_pair(service.user(), key);
    let client = Client::builder(service.account(), credentials).url(service.url()).build()?;
    let pipe = client.table("DEMO", "PUBLIC", "READINGS");

    let mut writer = pipe.channel("sensor-1").open()?.into_writer();
    for reading in readings(1).take(600) {
        writer.write(&reading, reading.id)?;
        if reading.id == 500 {
            writer.commit(Duration::from_secs(30))?;
        }
    }
    // As a crash would: the hundred rows since the commit are buffered and gone.
    drop(writer);

    let mut writer = pipe.channel("sensor-1").open()?.into_writer();
    let committed = writer.committed_offset().and_then(OffsetToken::as_u64).unwrap_or(0);
    println!("resuming: after row {committed}");
    for reading in readings(committed + 1) {
        writer.write(&reading, reading.id)?;
    }
    writer.close(Duration::from_secs(30))?;
    println!("landed:   {} rows", service.row_count("DEMO.PUBLIC.READINGS"));
    Ok(())
}
