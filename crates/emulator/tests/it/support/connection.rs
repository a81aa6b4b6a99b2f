use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use snowpipe_emulator::Emulator;

use super::response::Response;

/// A connection that any bytes can be written to.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(emulator: &Emulator) -> Self {
        Self::to(emulator.url())
    }

    pub fn to(url: &str) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).unwrap();
    }

    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    pub fn shutdown_write(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// Reads one response; `None` when the connection ends before it is complete.
    pub fn read_response(&mut self) -> Option<Response> {
        Response::read(&mut self.0)
    }

    pub fn read_exact<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        bytes
    }
}
