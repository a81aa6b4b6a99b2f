use std::io::BufRead;
use std::time::Instant;

use snowpipe_streaming::{Batch, Client, Elastic, Pipe};

use super::line_error::{failed, not_a_row};
use super::options::Options;
use super::summary::Summary;
use crate::Result;

/// Loads through no channel: at least once.
pub fn load(
    options: &Options,
    client: &Client,
    pipe: &Pipe,
    rows: Box<dyn BufRead>,
    summary: &mut Summary,
) -> Result<()> {
    let began = Instant::now();
    let mut requests = Requests { elastic: pipe.elastic(), batch: Batch::new(), sent: 0 };
    let read = append_lines(options, rows, &mut requests);
    // The rows before a bad one are stored.
    let result = read.and_then(|end| requests.send().and(end));
    summary.add_elastic(requests.sent, client.counters(), began.elapsed());
    result
}

struct Requests {
    elastic: Elastic,
    /// Not sent yet.
    batch: Batch,
    sent: u64,
}

impl Requests {
    fn send(&mut self) -> Result<()> {
        if !self.batch.is_empty() {
            self.elastic.append(&self.batch)?;
            self.sent += 1;
            self.batch.clear();
        }
        Ok(())
    }
}

/// The inner result is how the source ended; the outer one is an error of the service.
fn append_lines(options: &Options, mut lines: Box<dyn BufRead>, requests: &mut Requests) -> Result<Result<()>> {
    let name = options.input.name();
    let mut next = Line::default();
    loop {
        match next.read(&mut lines) {
            Err(error) => return Ok(Err(failed(&error, next.number + 1, name))),
            Ok(false) => return Ok(Ok(())),
            Ok(true) => {}
        }
        if requests.batch.bytes() + next.text.len() > options.batch_bytes {
            requests.send()?;
        }
        if let Err(error) = requests.batch.push_json(&next.text) {
            return Ok(Err(not_a_row(&error, next.number, name)));
        }
    }
}

/// The next line that is not blank, with its number.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    number: u64,
}

impl Line {
    /// False at the end.
    fn read(&mut self, from: &mut impl BufRead) -> std::io::Result<bool> {
        loop {
            self.text.clear();
            if from.read_until(b'\n', &mut self.text)? == 0 {
                return Ok(false);
            }
            self.number += 1;
            self.text.pop_if(|last| *last == b'\n');
            if self.number == 1 && self.text.starts_with(b"\xef\xbb\xbf") {
                self.text.drain(..3);
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}
