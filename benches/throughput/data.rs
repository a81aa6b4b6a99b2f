//! The rows that are loaded.

use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

/// A row of ten fields, as a program has it.
#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Reading {
    id: u64,
    device: String,
    site: &'static str,
    temperature: f64,
    humidity: f64,
    pressure: f32,
    healthy: bool,
    errors: i32,
    note: Option<&'static str>,
    taken: String,
}

impl Reading {
    pub fn number(id: u64) -> Reading {
        let (hour, minute, second) = (id / 3600 % 24, id / 60 % 60, id % 60);
        Reading {
            id,
            device: format!("sensor-{:04}", id * 7919 % 1000),
            site: SITES[id as usize % SITES.len()],
            temperature: 18.0 + (id * 31 % 997) as f64 / 100.0,
            humidity: 40.0 + (id * 17 % 499) as f64 / 10.0,
            pressure: 990.0 + (id % 413) as f32 / 8.0,
            healthy: !id.is_multiple_of(50),
            errors: id.is_multiple_of(50).into(),
            note: id.is_multiple_of(4).then_some("calibrated"),
            taken: format!("2024-05-06T{hour:02}:{minute:02}:{second:02}.{:06}Z", id * 104_729 % 1_000_000),
        }
    }
}

/// A file of flights, the bundled sample over and over; the compressor's window is shorter than the sample.
pub fn file_of_flights(bytes: usize) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    let sample = flights();
    let mut written = 0;
    while written < bytes {
        file.write_all(&sample).expect("room for the file");
        written += sample.len();
    }
    file.flush().expect("room for the file");
    file
}

/// A text over and over until so many bytes have been read; ends with a whole one.
pub struct Repeated {
    sample: Vec<u8>,
    at: usize,
    left: usize,
}

impl Repeated {
    pub fn flights(bytes: usize) -> Repeated {
        Repeated::of(flights(), bytes)
    }

    /// Rows so short that what is kept for each of them shows.
    pub fn tiny(bytes: usize) -> Repeated {
        Repeated::of(b"{\"A\":1}\n".to_vec(), bytes)
    }

    fn of(sample: Vec<u8>, bytes: usize) -> Repeated {
        let left = bytes.div_ceil(sample.len()) * sample.len();
        Repeated { sample, at: 0, left }
    }
}

impl Read for Repeated {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = into.len().min(self.left).min(self.sample.len() - self.at);
        into[..size].copy_from_slice(&self.sample[self.at..self.at + size]);
        self.at = (self.at + size) % self.sample.len();
        self.left -= size;
        Ok(size)
    }
}

/// Rows that hardly shrink.
pub struct Noise {
    left: usize,
    line: Vec<u8>,
    at: usize,
    random: fastrand::Rng,
}

impl Noise {
    pub fn of(bytes: usize) -> Noise {
        Noise { left: bytes, line: Vec::new(), at: 0, random: fastrand::Rng::with_seed(1) }
    }
}

impl Read for Noise {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() && self.left > 0 {
            let noise: String = (0..20).map(|_| format!("{:016x}", self.random.u64(..))).collect();
            self.line = format!("{{\"NOISE\":\"{noise}\"}}\n").into_bytes();
            self.left = self.left.saturating_sub(self.line.len());
            self.at = 0;
        }
        let size = into.len().min(self.line.len() - self.at);
        into[..size].copy_from_slice(&self.line[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

fn flights() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/flights.ndjson");
    std::fs::read(path).expect("the bundled sample")
}

const SITES: [&str; 5] = ["north-hall", "south-hall", "yard", "roof", "cellar"];
