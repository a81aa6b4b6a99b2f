//! Changes that are written down before they count, and carried out again at the next start.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::Ledger;
use crate::refusal::Refusal;
use crate::state::channel::Channel;
use crate::state::in_flight::InFlight;
use crate::state::journal::{Journal, Opened, Record};

impl Ledger {
    /// Goes on where the last process with this folder was stopped.
    pub(crate) fn restore(&mut self, dir: &Path) -> io::Result<()> {
        let mut accepted = VecDeque::new();
        let journal = Journal::open(dir, |record| self.replay(record, &mut accepted))?;
        // Rows without order were durable when they were acknowledged, landed or not.
        for rows in accepted {
            self.land(rows);
        }
        self.journal = Some(journal);
        Ok(())
    }

    pub(crate) fn land(&mut self, rows: InFlight) {
        if let Some(channel) = self.channels.get_mut(&rows.channel) {
            channel.committed.add(&rows);
        }
        let table = self.tables.entry(rows.table).or_default();
        table.rows += rows.batch.good;
        table.blocks.extend(rows.batch.block);
    }

    /// Writes a change down and carries it out.
    pub(crate) fn note(&mut self, record: Record) -> Result<(), Refusal> {
        let record = self.journaled(record)?;
        self.replay(record, &mut VecDeque::new());
        Ok(())
    }

    pub(crate) fn journaled(&mut self, mut record: Record) -> Result<Record, Refusal> {
        if let Some(journal) = &mut self.journal {
            journal.append(&mut record).map_err(|error| {
                Refusal::new(503, "ERR_GENERAL_EXCEPTION_RETRY_REQUEST", "The state cannot be written.")
                    .with_detail(error.to_string())
            })?;
        }
        Ok(record)
    }

    fn replay(&mut self, record: Record, accepted: &mut VecDeque<InFlight>) {
        match record {
            Record::Opened(opened) => self.take_over(opened),
            Record::Gone { channel } => {
                self.discard(&channel);
                self.channels.remove(&channel);
            }
            Record::Committed(rows) => {
                if let Some(channel) = self.channels.get_mut(&rows.channel) {
                    channel.advance(rows.row_sequencer, rows.applied.clone());
                }
                self.land(rows);
            }
            Record::Accepted(rows) => {
                self.elastic(&rows.channel.pipe, rows.received_on_ms);
                accepted.push_back(rows);
            }
            Record::Landed => {
                if let Some(rows) = accepted.pop_front() {
                    self.land(rows);
                }
            }
        }
    }

    fn take_over(&mut self, opened: Opened) {
        self.discard(&opened.channel);
        self.openings = opened.client_sequencer;
        let channel =
            self.channels.entry(opened.channel).or_insert_with(|| Channel::new(opened.spelling, opened.created_on_ms));
        channel.take_over(opened.client_sequencer);
        channel.committed.offset_token = opened.offset_token;
    }
}
