//! What the tests share: a client that writes its requests by hand, so that the emulator is held to bytes and not to code of
//! its own.

pub mod client;
pub mod connection;
pub mod keys;
pub mod oauth;
pub mod request;
pub mod response;
pub mod tls;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use snowpipe_emulator::Emulator;

/// The table that all rows go to, and the paths of its default pipe.
pub const TABLE: &str = "DEMO.PUBLIC.FLIGHTS";
pub const PIPE: &str = "/v2/streaming/databases/DEMO/schemas/PUBLIC/pipes/FLIGHTS-STREAMING";
pub const PIPE_DATA: &str = "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/pipes/FLIGHTS-STREAMING";
pub const TABLE_ROWS: &str = "/v2/streaming/data/databases/DEMO/schemas/PUBLIC/tables/FLIGHTS/rows";
pub const UUID: &str = "7f6f9d1e-3f0a-4a51-9d0e-3d4b7c2a1f00";

/// An emulator that commits rows when they are received, so that tests need not wait.
pub fn prompt() -> Emulator {
    Emulator::builder().commit_delay(Duration::ZERO).start().unwrap()
}

pub fn eventually(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "the condition did not become true in time");
        std::thread::yield_now();
    }
}

pub fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// The header (0) or the claims (1) of a JWT.
pub fn jwt_part(token: &str, index: usize) -> Value {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&part).unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}
