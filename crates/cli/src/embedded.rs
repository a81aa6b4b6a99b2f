//! The emulator within this process: a client of it, and what landed there.

use std::time::{Duration, Instant};

use snowpipe_streaming::emulator::Emulator;
use snowpipe_streaming::{Client, Credentials, PrivateKey};

use crate::Result;

/// The client of a service that was just started on this machine, which knows one user and its key.
pub fn client_of(service: &Emulator) -> Result<Client> {
    let key = service.private_key_pem().ok_or("the embedded service has no key")?;
    let credentials = Credentials::key_pair(service.user(), PrivateKey::from_pem(key)?);
    Ok(Client::builder(service.account(), credentials).url(service.url()).build()?)
}

/// The rows of one table of the embedded service.
pub struct Landed {
    table: String,
    text: String,
}

impl Landed {
    /// Waits until so many are there, because Elastic rows become visible some time after they were acknowledged.
    pub fn wait_for(service: &Emulator, table: &str, expected: u64) -> Result<Landed> {
        let deadline = Instant::now() + VISIBLE_WITHIN;
        loop {
            let landed = Landed { table: table.into(), text: String::from_utf8(service.rows(table))? };
            if landed.rows() >= expected || Instant::now() > deadline {
                return Ok(landed);
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub fn rows(&self) -> u64 {
        self.text.lines().count() as u64
    }

    /// The count and the first row, of which as much as a line of a terminal holds.
    pub fn print(&self) {
        println!("in {} of the embedded service: {} rows", self.table, self.rows());
        if let Some(first) = self.text.lines().next() {
            println!("the first: {}", shortened(first, LINE - "the first: ".len()));
        }
    }
}

/// At most that many characters, an ellipsis for the rest.
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
