//! What no load can do without, on one thread and with nothing else to do.

use std::hint::black_box;
use std::str;

use serde::Serialize;
use serde::de::IgnoredAny;
use snowpipe_streaming::Batch;
use zstd::bulk::Compressor;

/// Checks every line, UTF-8 and one complete JSON value, and compresses blocks of them.
pub fn check_and_compress(text: &[u8]) {
    let mut blocks = Blocks::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        let line = str::from_utf8(&text[start..end]).expect("the sample is UTF-8");
        serde_json::from_str::<IgnoredAny>(line).expect("the sample is JSON");
        blocks.compress_if_full(&text[..end + 1]);
        start = end + 1;
    }
    blocks.compress(&text[..start]);
}

/// Checks every line's frame, UTF-8 between braces, and compresses blocks of them.
pub fn frame_and_compress(text: &[u8]) {
    let mut blocks = Blocks::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        let line = str::from_utf8(&text[start..end]).expect("the sample is UTF-8");
        assert!(line.starts_with('{') && line.ends_with('}'), "the sample is JSON");
        blocks.compress_if_full(&text[..end + 1]);
        start = end + 1;
    }
    blocks.compress(&text[..start]);
}

/// Writes every row as JSON and compresses blocks of them.
pub fn serialise_and_compress(rows: impl Iterator<Item = impl Serialize>) {
    let mut blocks = Blocks::new();
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, &row).expect("rows are JSON");
        text.push(b'\n');
        if blocks.compress_if_full(&text) {
            text.clear();
            blocks.done = 0;
        }
    }
    blocks.compress(&text);
}

struct Blocks {
    compressor: Compressor<'static>,
    wire: Vec<u8>,
    /// How much of the text is compressed.
    done: usize,
}

impl Blocks {
    fn new() -> Blocks {
        let compressor = Compressor::new(LEVEL).expect("memory");
        Blocks { compressor, wire: Vec::with_capacity(zstd::zstd_safe::compress_bound(2 * Batch::FULL_BYTES)), done: 0 }
    }

    fn compress_if_full(&mut self, text: &[u8]) -> bool {
        let is_full = text.len() - self.done >= Batch::FULL_BYTES;
        if is_full {
            self.compress(text);
        }
        is_full
    }

    fn compress(&mut self, text: &[u8]) {
        self.wire.clear();
        self.compressor.compress_to_buffer(&text[self.done..], &mut self.wire).expect("room for the worst case");
        black_box(&self.wire);
        self.done = text.len();
    }
}

/// The library's own.
const LEVEL: i32 = 1;
