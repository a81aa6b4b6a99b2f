//! The emulator within this process: a client of it, and what landed there.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use snowpipe_streaming::emulator::Emulator;
use snowpipe_streaming::{Client, Credentials, PrivateKey};

use crate::{Result, unexpected};

pub fn start() -> Result<Emulator> {
    Emulator::start().map_err(|error| unexpected(format!("cannot start the embedded emulator: {error}")))
}

/// A client of an emulator that was just started in this process.
pub fn client_of(service: &Emulator) -> Result<Client> {
    let key = service.private_key_pem().ok_or_else(|| unexpected("the embedded emulator has no key"))?;
    let credentials = Credentials::key_pair(service.user(), PrivateKey::from_pem(key)?);
    Client::builder(service.account(), credentials).url(service.url()).build()
}

/// The rows of one table of the embedded emulator.
pub struct Landed {
    table: String,
    text: String,
}

impl Landed {
    /// Waits until `expected` rows have landed, because Elastic rows become visible some time after they were acknowledged.
    pub fn wait_for(service: &Emulator, table: &str, expected: u64) -> Result<Landed> {
        let deadline = Instant::now() + VISIBLE_WITHIN;
        loop {
            let text = String::from_utf8(service.rows(table));
            let text = text.map_err(|_| unexpected(format!("what landed in {table} is not UTF-8")))?;
            let landed = Landed { table: table.into(), text };
            if landed.rows() >= expected || Instant::now() > deadline {
                return Ok(landed);
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub fn rows(&self) -> u64 {
        self.text.lines().count() as u64
    }

    /// Prints the count and the first row, cut to the width of a terminal.
    pub fn print(&self) -> Result<ExitCode> {
        let rows = crate::counted(self.rows(), "row", "rows");
        crate::print(format_args!("in {} of the embedded emulator: {rows}\n", self.table))?;
        match self.text.lines().next() {
            Some(first) => {
                let first = shortened(first, LINE - "the first: ".len());
                crate::print(format_args!("the first: {first}\n"))
            }
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

/// The first `most` characters; an ellipsis stands for the rest.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// The width of the usual terminal.
const LINE: usize = 80;
/// Far longer than the emulator takes; whatever is missing then will not come.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);
/// Shorter than a person notices.
const PAUSE: Duration = Duration::from_millis(10);
