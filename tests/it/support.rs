//! What the tests share: a scripted service on httpmock, a raw one that misbehaves, and rows.

mod listening;
mod raw;
mod scripted;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub use listening::logged;
pub use raw::{Raw, Reply};
pub use scripted::{OPENED, Scripted};
use snowpipe_emulator::Emulator;
use snowpipe_streaming::{Batch, Client, ClientBuilder, Credentials, OffsetToken, Pipe, PrivateKey, Source};

pub const TABLE: &str = "DEMO.PUBLIC.EVENTS";

/// A client with a key pair, of an emulator, whose authority it trusts.
pub fn client_of(service: &Emulator) -> Client {
    builder_of(service).build().unwrap()
}

pub fn builder_of(service: &Emulator) -> ClientBuilder {
    let key = PrivateKey::from_pem(service.private_key_pem().unwrap()).unwrap();
    reaching(service, Credentials::key_pair(service.user(), key))
}

/// The same with other credentials.
pub fn reaching(service: &Emulator, credentials: Credentials) -> ClientBuilder {
    let builder =
        Client::builder(service.account(), credentials).url(service.url()).retry_budget(Duration::from_secs(20));
    match service.ca_pem() {
        Some(authority) => builder.extra_roots(authority),
        None => builder,
    }
}

pub fn pipe_of(service: &Emulator) -> Pipe {
    client_of(service).table("DEMO", "PUBLIC", "EVENTS")
}

/// Gives up soon, when a fault does not end.
pub fn impatient_pipe(service: &Emulator) -> Pipe {
    let client = builder_of(service).retry_budget(Duration::from_millis(50)).build().unwrap();
    client.table("DEMO", "PUBLIC", "EVENTS")
}

/// A row, as text.
pub fn row(id: u64) -> String {
    format!("{{\"ID\":{id},\"TEXT\":\"row {id}\"}}")
}

/// Rows with these ids, a line each.
pub fn rows(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(|id| row(id) + "\n").collect()
}

/// A batch of rows with these ids, each marked with its id.
pub fn batch(ids: impl IntoIterator<Item = u64>) -> Batch {
    let mut batch = Batch::new();
    for id in ids {
        batch.push_json(row(id).as_bytes()).unwrap();
        batch.mark(id);
    }
    batch
}

/// Rows of noise with these ids, so long that each takes a request of its own.
pub fn long_rows(ids: std::ops::RangeInclusive<u64>) -> Batch {
    let (mut noise, mut batch) = (fastrand::Rng::with_seed(3), Batch::new());
    for id in ids {
        let text: String = (0..3_500_000).map(|_| noise.alphanumeric()).collect();
        batch.push(&serde_json::json!({ "ID": id, "TEXT": text })).unwrap();
        batch.mark(id);
    }
    batch
}

/// The same, each marked as a load of these rows marks them: with its id as position, and the CRC-32 of all so far.
pub fn loaded(ids: impl IntoIterator<Item = u64>) -> Batch {
    let (mut batch, mut crc) = (Batch::new(), flate2::Crc::new());
    for id in ids {
        batch.push_json(row(id).as_bytes()).unwrap();
        crc.update((row(id) + "\n").as_bytes());
        batch.mark(format!("{id}-{:08x}", crc.sum()));
    }
    batch
}

/// The offset that a load gives the last of these rows, at this position.
pub fn offset(position: u64, carried: &str) -> OffsetToken {
    let mut crc = flate2::Crc::new();
    crc.update(carried.as_bytes());
    format!("{position}-{:08x}", crc.sum()).into()
}

/// A file that is deleted in the end.
pub struct TextFile(tempfile::NamedTempFile);

impl TextFile {
    pub fn new(text: impl AsRef<[u8]>) -> TextFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_ref()).unwrap();
        TextFile(file)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn source(&self) -> Source<'static> {
        Source::file(self.0.path()).unwrap()
    }
}

/// The rows that landed, as text.
pub fn landed(service: &Emulator) -> String {
    String::from_utf8(service.rows(TABLE)).unwrap()
}
