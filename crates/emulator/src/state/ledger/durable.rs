//! Changes are written down before they count, and made again when the next process starts.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::Ledger;
use crate::refusal::Refusal;
use crate::state::channel::Channel;
use crate::state::in_flight::InFlight;
use crate::state::journal::{Journal, NewRecord, Opened, Record};
use crate::state::name::ChannelName;

impl Ledger {
    /// Continues from the state in this folder, and writes every change to it from now on.
    pub(crate) fn restore(&mut self, dir: &Path) -> io::Result<()> {
        let mut accepted = VecDeque::new();
        let journal = Journal::open(dir, |record| self.replay(record, &mut accepted))?;
        // Elastic rows were durable when they were acknowledged, landed or not.
        for rows in accepted {
            self.land(rows);
        }
        self.journal = Some(journal);
        Ok(())
    }

    /// Writes a change down, if there is a state folder. Only then may it be made.
    pub(super) fn write(&mut self, record: NewRecord<'_>) -> Result<(), Refusal> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        journal.append(record).map_err(|error| {
            Refusal::new(503, "ERR_GENERAL_EXCEPTION_RETRY_REQUEST", "The state cannot be written.")
                .with_detail(error.to_string())
        })
    }

    pub(super) fn take_over(&mut self, opened: Opened) {
        self.discard_uncommitted(&opened.channel);
        self.openings = opened.client_sequencer;
        self.newest_created_ms = self.newest_created_ms.max(opened.created_on_ms);
        let channel =
            self.channels.entry(opened.channel).or_insert_with(|| Channel::new(opened.spelling, opened.created_on_ms));
        channel.take_over(opened.client_sequencer);
        channel.committed.offset_token = opened.offset_token;
    }

    pub(super) fn remove(&mut self, name: &ChannelName) {
        self.discard_uncommitted(name);
        self.channels.remove(name);
    }

    pub(super) fn land(&mut self, rows: InFlight) {
        if let Some(channel) = self.channels.get_mut(&rows.channel) {
            channel.committed.add(&rows);
        }
        let table = self.tables.entry(rows.table).or_default();
        table.rows += rows.batch.good;
        table.blocks.extend(rows.batch.block);
    }

    /// Makes a change of an earlier process again. `accepted` holds the Elastic rows that have not landed so far.
    fn replay(&mut self, record: Record, accepted: &mut VecDeque<InFlight>) {
        match record {
            Record::Opened(opened) => self.take_over(opened),
            Record::Gone { channel } => self.remove(&channel),
            Record::Committed(rows) => {
                if let Some(channel) = self.channels.get_mut(&rows.channel) {
                    channel.advance(rows.row_sequencer, rows.append_id.clone());
                }
                self.land(rows);
            }
            Record::Accepted(rows) => {
                self.elastic_channel(&rows.channel.pipe, rows.received_on_ms);
                accepted.push_back(rows);
            }
            Record::Landed => {
                if let Some(rows) = accepted.pop_front() {
                    self.land(rows);
                }
            }
        }
    }
}
