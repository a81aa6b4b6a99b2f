//! What must hold of the rows that a run leaves out.

use std::io;

use super::load_check::LoadCheck;
use super::world::State;
use crate::error::{Error, ErrorKind};
use crate::loader::{BadRow, LoadReport};

/// The rows that one run has handed over.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    positions: Vec<u64>,
    oddity: Option<String>,
}

impl LeftOut {
    pub(super) fn take(&mut self, row: &BadRow<'_>, check: &LoadCheck, state: &State) -> io::Result<()> {
        let position = row.position();
        let is_second = self.positions.contains(&position);
        let oddity = match is_second {
            true => Some(format!("row {position} is handed over twice")),
            false => check.left_out(position, row.text(), state).err(),
        };
        self.oddity = self.oddity.take().or(oddity);
        self.positions.push(position);
        Ok(())
    }

    pub(super) fn judge(&self, outcome: &Result<LoadReport, Error>, report: &LoadReport) -> Result<(), String> {
        if let Some(oddity) = &self.oddity {
            return Err(oddity.clone());
        }
        let handed_over = self.positions.len() as u64;
        // A load that ended before its first row reports nothing else.
        let is_row = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Row);
        if report.bad_rows != handed_over && (outcome.is_ok() || is_row) {
            return Err(format!("{} rows are reported as left out, and {handed_over} handed over", report.bad_rows));
        }
        Ok(())
    }
}
