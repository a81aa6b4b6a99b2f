//! All state that requests change: channels, rows in flight, tables.

mod durable;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::refusal::Refusal;
use crate::state::batch::Batch;
use crate::state::channel::{Channel, Turn};
use crate::state::in_flight::{AppendId, InFlight, RowError};
use crate::state::journal::{Journal, Opened, Record};
use crate::state::name::{ChannelName, ELASTIC, PipeName, TableName, bare, canonical};
use crate::state::table::Table;

/// Opens and drops channels, takes rows and commits them.
///
/// Rows are committed by the first call that comes after they fell due: this needs no thread, and every caller sees
/// what was due before.
#[derive(Debug)]
pub(crate) struct Ledger {
    settings: LedgerSettings,
    commits_held: bool,
    /// The client sequencer of the latest opening, whichever channel it was of.
    openings: u64,
    /// When the newest channel was created: no other has the same time, so that one made again can be told apart.
    newest_created_ms: i64,
    channels: HashMap<ChannelName, Channel>,
    /// In the order of receipt, in which they also fall due: the delay is the same for all.
    in_flight: VecDeque<InFlight>,
    tables: HashMap<TableName, Table>,
    journal: Option<Journal>,
}

#[derive(Debug)]
pub(crate) struct LedgerSettings {
    /// The tables of the declared pipes, both by canonical name.
    pub(crate) pipes: BTreeMap<String, String>,
    pub(crate) commit_delay: Duration,
    pub(crate) retention: Retention,
}

/// What is kept of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    Rows,
    CountsOnly,
}

/// How a channel is to be opened.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) offset_token: Option<String>,
    pub(crate) uncommitted: Uncommitted,
}

/// What an opening or a drop does when the channel has rows that are not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uncommitted {
    Discard,
    Refuse,
}

/// One append to a Named Channel.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) token: String,
    pub(crate) request_id: Option<String>,
    pub(crate) offset_token: Option<String>,
    pub(crate) batch: Batch,
}

impl Ledger {
    pub(crate) fn new(settings: LedgerSettings) -> Self {
        Self {
            settings,
            commits_held: false,
            openings: 0,
            newest_created_ms: 0,
            channels: HashMap::new(),
            in_flight: VecDeque::new(),
            tables: HashMap::new(),
            journal: None,
        }
    }

    pub(crate) fn retention(&self) -> Retention {
        self.settings.retention
    }

    pub(crate) fn open(
        &mut self,
        name: &ChannelName,
        spelling: &str,
        opening: Opening,
        now_ms: i64,
    ) -> Result<Value, Refusal> {
        self.table_of(&name.pipe)?;
        refuse_elastic(name)?;
        self.commit_due(now_ms);
        self.check_uncommitted(name, opening.uncommitted)?;
        let present = self.channels.get(name);
        let opened = Opened {
            channel: name.clone(),
            // The first spelling stays: status lists look channels up by it.
            spelling: present.map_or_else(|| bare(spelling), |channel| channel.spelling.clone()),
            created_on_ms: present
                .map_or_else(|| now_ms.max(self.newest_created_ms + 1), |channel| channel.created_on_ms),
            // Counted over all channels: one that is dropped and made again must not issue a token that it issued
            // before.
            client_sequencer: self.openings + 1,
            offset_token: opening.offset_token.or_else(|| present?.committed.offset_token.clone()),
        };
        self.write(Record::Opened(opened.clone()))?;
        self.take_over(opened);
        let channel = self.channels.get(name).ok_or_else(|| unknown_channel(name))?;
        Ok(json!({
            "next_continuation_token": channel.continuation_token(),
            "channel_status": channel.status(name, self.latency_ms()),
        }))
    }

    /// Takes rows of a Named Channel and returns the next continuation token. They are not durable before their commit.
    pub(crate) fn append(&mut self, name: &ChannelName, append: Append, now_ms: i64) -> Result<String, Refusal> {
        let table = self.table_of(&name.pipe)?;
        self.commit_due(now_ms);
        let batch = self.retained(append.batch);
        let channel = self.channels.get_mut(name).ok_or_else(|| unknown_channel(name))?;
        let request_id = append.request_id.as_deref();
        if channel.check_token(&append.token, request_id)? == Turn::Replay {
            return Ok(channel.continuation_token());
        }
        let append_id = append.request_id.map(|request_id| AppendId { request_id, token: append.token });
        channel.uncommitted_batches += 1;
        // The token moves on with the receipt: the next append need not wait for the commit of this one.
        channel.advance(channel.row_sequencer + 1, append_id.clone());
        let next = channel.continuation_token();
        let rows = InFlight {
            channel: name.clone(),
            table,
            row_sequencer: channel.row_sequencer,
            append_id,
            received_on_ms: now_ms,
            error: RowError::last_of(&batch, append.offset_token.as_deref(), now_ms),
            offset_token: append.offset_token,
            batch,
            due: Instant::now() + self.settings.commit_delay,
        };
        self.in_flight.push_back(rows);
        Ok(next)
    }

    /// The response of the last append if this is a replay of it; `None` for any other append.
    pub(crate) fn replayed(&self, name: &ChannelName, token: &str, request_id: Option<&str>) -> Option<String> {
        let channel = self.channels.get(name)?;
        let turn = channel.check_token(token, request_id).ok()?;
        (turn == Turn::Replay).then(|| channel.continuation_token())
    }

    /// Takes rows without order. They are durable at once and land when they are due.
    pub(crate) fn append_elastic(&mut self, pipe: &PipeName, batch: Batch, now_ms: i64) -> Result<(), Refusal> {
        let table = self.table_of(pipe)?;
        self.commit_due(now_ms);
        let mut rows = InFlight {
            channel: pipe.channel(ELASTIC),
            table,
            row_sequencer: 0,
            append_id: None,
            received_on_ms: now_ms,
            error: RowError::last_of(&batch, None, now_ms),
            offset_token: None,
            batch: self.retained(batch),
            due: Instant::now() + self.settings.commit_delay,
        };
        self.write(Record::Accepted(&mut rows))?;
        self.elastic_channel(pipe, now_ms).uncommitted_batches += 1;
        self.in_flight.push_back(rows);
        Ok(())
    }

    pub(crate) fn drop_channel(
        &mut self,
        name: &ChannelName,
        uncommitted: Uncommitted,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        self.table_of(&name.pipe)?;
        refuse_elastic(name)?;
        self.commit_due(now_ms);
        if !self.channels.contains_key(name) {
            return Err(unknown_channel(name));
        }
        self.check_uncommitted(name, uncommitted)?;
        self.write(Record::Gone { channel: name.clone() })?;
        self.remove(name);
        Ok(())
    }

    /// The status of those named channels that exist, by the names as they were asked for.
    pub(crate) fn status(&mut self, pipe: &PipeName, names: &[String], now_ms: i64) -> Result<Value, Refusal> {
        self.table_of(pipe)?;
        self.commit_due(now_ms);
        let mut statuses = Map::new();
        for asked in names {
            if asked == ELASTIC {
                // It exists without an opening, so its status does not wait for the first rows.
                self.elastic_channel(pipe, now_ms);
            }
            if let Some((name, channel)) = self.find_listed(pipe, asked) {
                let status = channel.status(&name, self.latency_ms());
                statuses.insert(asked.clone(), status);
            }
        }
        Ok(json!({ "channel_statuses": statuses }))
    }

    /// The table that a pipe feeds.
    pub(crate) fn table_of(&self, pipe: &PipeName) -> Result<TableName, Refusal> {
        if let Some(table) = self.settings.pipes.get(&pipe.pipe) {
            return Ok(pipe.table(table.clone()));
        }
        pipe.default_table().ok_or_else(|| {
            Refusal::new(
                404,
                "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
                format!("Pipe {} does not exist or is not authorized.", pipe.pipe),
            )
        })
    }

    /// Stops committing, or resumes: what fell due in between is committed at once.
    pub(crate) fn hold_commits(&mut self, hold: bool, now_ms: i64) {
        // Before the change, too: what was due before the hold is committed.
        self.commit_due(now_ms);
        self.commits_held = hold;
        self.commit_due(now_ms);
    }

    pub(crate) fn table(&mut self, table: &TableName, now_ms: i64) -> Option<&Table> {
        self.commit_due(now_ms);
        self.tables.get(table)
    }

    /// Opens a channel as another client would; `false` when there is none.
    pub(crate) fn steal(&mut self, name: &ChannelName, now_ms: i64) -> bool {
        let opening = Opening { offset_token: None, uncommitted: Uncommitted::Discard };
        let present = self.channels.contains_key(name) && !name.is_elastic();
        present && self.open(name, "", opening, now_ms).is_ok()
    }

    /// Removes a channel and its offset, as long idleness does; `false` when there is none.
    pub(crate) fn expire(&mut self, name: &ChannelName, now_ms: i64) -> bool {
        self.drop_channel(name, Uncommitted::Discard, now_ms).is_ok()
    }

    /// Commits what is due. Rows that the journal cannot take stay uncommitted, and so do all behind them: they keep
    /// their order.
    fn commit_due(&mut self, now_ms: i64) {
        let now = Instant::now();
        while !self.commits_held && self.in_flight.front().is_some_and(|rows| rows.due <= now) {
            let Some(mut rows) = self.in_flight.pop_front() else {
                return;
            };
            // Elastic rows are in the journal since their receipt.
            let record = if rows.is_elastic() { Record::Landed } else { Record::Committed(&mut rows) };
            if self.write(record).is_err() {
                return self.in_flight.push_front(rows);
            }
            let name = rows.channel.clone();
            if rows.is_elastic() {
                // Its counters have to be there before the rows land in them.
                self.elastic_channel(&name.pipe, now_ms);
            }
            self.land(rows);
            if let Some(channel) = self.channels.get_mut(&name) {
                channel.uncommitted_batches = channel.uncommitted_batches.saturating_sub(1);
            }
        }
    }

    fn check_uncommitted(&self, name: &ChannelName, uncommitted: Uncommitted) -> Result<(), Refusal> {
        let batches = self.channels.get(name).map_or(0, |channel| channel.uncommitted_batches);
        if batches == 0 || uncommitted == Uncommitted::Discard {
            return Ok(());
        }
        Err(Refusal::new(
            409,
            "ERR_CHANNEL_HAS_UNCOMMITTED_DATA",
            format!("Channel {} has rows that are not committed.", name.channel),
        ))
    }

    fn discard_uncommitted(&mut self, name: &ChannelName) {
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        if channel.uncommitted_batches > 0 {
            channel.uncommitted_batches = 0;
            self.in_flight.retain(|rows| rows.channel != *name);
        }
    }

    fn elastic_channel(&mut self, pipe: &PipeName, now_ms: i64) -> &mut Channel {
        self.channels.entry(pipe.channel(ELASTIC)).or_insert_with(|| Channel::new(ELASTIC.to_owned(), now_ms))
    }

    /// Finds a channel by its name in a status list. There case counts, unlike in a path, so the name may be meant with
    /// or without quotes.
    fn find_listed(&self, pipe: &PipeName, asked: &str) -> Option<(ChannelName, &Channel)> {
        [canonical(asked), asked.to_owned()].into_iter().find_map(|channel| {
            let name = ChannelName { pipe: pipe.clone(), channel };
            let found = self.channels.get(&name)?;
            (found.spelling == bare(asked)).then_some((name, found))
        })
    }

    fn retained(&self, batch: Batch) -> Batch {
        match self.settings.retention {
            Retention::Rows => batch,
            Retention::CountsOnly => Batch { block: None, ..batch },
        }
    }

    fn latency_ms(&self) -> u64 {
        u64::try_from(self.settings.commit_delay.as_millis()).unwrap_or(u64::MAX)
    }
}

fn refuse_elastic(name: &ChannelName) -> Result<(), Refusal> {
    if name.is_elastic() {
        return Err(Refusal::new(400, "ERR_CHANNEL_NAME_RESERVED", "The channel ELASTIC cannot be opened or dropped."));
    }
    Ok(())
}

fn unknown_channel(name: &ChannelName) -> Refusal {
    Refusal::new(
        404,
        "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
        format!("Channel {} does not exist or is not authorized.", name.channel),
    )
}
