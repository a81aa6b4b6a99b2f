//! The rows that come with the program, so that it can be tried without a file and without an account.

use snowpipe_streaming::Source;

/// A copy of the checkout's `examples/data/flights.ndjson`, whose README names its origin; a package holds only what lies in
/// its own folder.
pub const FLIGHTS: &[u8] = include_bytes!("../data/flights.ndjson");

pub fn source() -> Source<'static> {
    Source::reader(NAME, FLIGHTS)
}

/// Where it goes unless another table is named.
pub fn table() -> [String; 3] {
    ["DEMO", "PUBLIC", "FLIGHTS"].map(String::from)
}

pub const NAME: &str = "the bundled sample";
pub const FILE_NAME: &str = "flights.ndjson";
