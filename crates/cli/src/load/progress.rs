use std::io::{self, IsTerminal};

/// One line on a terminal, rewritten as the load goes on; silent anywhere else.
pub struct Progress {
    /// Bytes of the rows, where that is known.
    total: Option<u64>,
    is_terminal: bool,
}

impl Progress {
    pub fn new(total: Option<u64>) -> Progress {
        Progress { total, is_terminal: io::stderr().is_terminal() }
    }

    pub fn show(&mut self, sent: u64, committed: u64, bytes: u64, skipped: u64) {
        if !self.is_terminal {
            return;
        }
        // Where an earlier run ended within the file is not known in bytes.
        let bar =
            self.total.filter(|total| *total > 0 && skipped == 0).map(|total| bar(bytes, total)).unwrap_or_default();
        crate::print_error(format_args!("\r\x1b[2K{bar}{sent} rows sent, {committed} committed"));
    }

    pub fn clear(&mut self) {
        if self.is_terminal {
            crate::print_error("\r\x1b[2K");
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let filled = (done * WIDTH / total).min(WIDTH) as usize;
    format!("[{}{}] ", "#".repeat(filled), " ".repeat(WIDTH as usize - filled))
}

const WIDTH: u64 = 30;
