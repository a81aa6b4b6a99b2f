//! What the service remembers: channels, batches on their way, and tables.

mod durable;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::refusal::Refusal;
use crate::state::batch::Batch;
use crate::state::channel::{Applied, Channel, LastError, Turn};
use crate::state::in_flight::InFlight;
use crate::state::journal::{Journal, Opened, Record};
use crate::state::name::{ChannelName, ELASTIC, PipeName, TableName, bare, canonical};
use crate::state::table::Table;

/// All state of the service that a request can change. Commits happen when somebody looks: no thread
/// is needed, and what was due is always seen.
#[derive(Debug)]
pub(crate) struct Ledger {
    declared: BTreeMap<String, String>,
    commit_delay: Duration,
    held: bool,
    openings: u64,
    channels: HashMap<ChannelName, Channel>,
    in_flight: VecDeque<InFlight>,
    tables: HashMap<TableName, Table>,
    journal: Option<Journal>,
}

/// How a channel is to be opened.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    pub(crate) offset_token: Option<String>,
    pub(crate) fail_on_uncommitted_rows: bool,
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
    pub(crate) fn new(declared: BTreeMap<String, String>, commit_delay: Duration) -> Self {
        Self {
            declared,
            commit_delay,
            held: false,
            openings: 0,
            channels: HashMap::new(),
            in_flight: VecDeque::new(),
            tables: HashMap::new(),
            journal: None,
        }
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
        self.settle(now_ms);
        if opening.fail_on_uncommitted_rows {
            self.refuse_uncommitted(name)?;
        }
        let present = self.channels.get(name);
        let record = Record::Opened(Opened {
            channel: name.clone(),
            spelling: present.map_or_else(|| bare(spelling), |channel| channel.spelling.clone()),
            created_on_ms: present.map_or(now_ms, |channel| channel.created_on_ms),
            client_sequencer: self.openings + 1,
            offset_token: opening.offset_token.or_else(|| present?.committed.offset_token.clone()),
        });
        self.note(record)?;
        let channel = self.channels.get(name).ok_or_else(|| unknown_channel(name))?;
        Ok(json!({
            "next_continuation_token": channel.continuation_token(),
            "channel_status": channel.status(name, latency_ms(self.commit_delay)),
        }))
    }

    pub(crate) fn append(&mut self, name: &ChannelName, append: Append, now_ms: i64) -> Result<String, Refusal> {
        let table = self.table_of(&name.pipe)?;
        self.settle(now_ms);
        let channel = self.channels.get_mut(name).ok_or_else(|| unknown_channel(name))?;
        let request_id = append.request_id.as_deref();
        if channel.judge(&append.token, request_id)? == Turn::Replay {
            return Ok(channel.continuation_token());
        }
        let applied = append.request_id.map(|request_id| Applied { request_id, token: append.token });
        channel.in_flight += 1;
        channel.advance(channel.row_sequencer + 1, applied.clone());
        self.in_flight.push_back(InFlight {
            channel: name.clone(),
            table,
            row_sequencer: channel.row_sequencer,
            applied,
            received_on_ms: now_ms,
            error: LastError::of(&append.batch, append.offset_token.as_deref(), now_ms),
            offset_token: append.offset_token,
            batch: append.batch,
            due: Instant::now() + self.commit_delay,
        });
        Ok(channel.continuation_token())
    }

    /// The response that a repeated append got the first time; `None` for any other append.
    pub(crate) fn replayed(&self, name: &ChannelName, token: &str, request_id: Option<&str>) -> Option<String> {
        let channel = self.channels.get(name)?;
        let turn = channel.judge(token, request_id).ok()?;
        (turn == Turn::Replay).then(|| channel.continuation_token())
    }

    /// Takes rows without order. They are durable at once and land when they are due.
    pub(crate) fn append_elastic(&mut self, pipe: &PipeName, batch: Batch, now_ms: i64) -> Result<(), Refusal> {
        let table = self.table_of(pipe)?;
        self.settle(now_ms);
        let rows = InFlight {
            channel: pipe.channel(ELASTIC),
            table,
            row_sequencer: 0,
            applied: None,
            received_on_ms: now_ms,
            error: LastError::of(&batch, None, now_ms),
            offset_token: None,
            batch,
            due: Instant::now() + self.commit_delay,
        };
        let accepted = match self.journaled(Record::Accepted(rows))? {
            Record::Accepted(rows) => rows,
            _ => return Ok(()),
        };
        self.elastic(pipe, now_ms).in_flight += 1;
        self.in_flight.push_back(accepted);
        Ok(())
    }

    pub(crate) fn drop_channel(
        &mut self,
        name: &ChannelName,
        fail_on_uncommitted_rows: bool,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        self.table_of(&name.pipe)?;
        refuse_elastic(name)?;
        self.settle(now_ms);
        if !self.channels.contains_key(name) {
            return Err(unknown_channel(name));
        }
        if fail_on_uncommitted_rows {
            self.refuse_uncommitted(name)?;
        }
        self.note(Record::Gone { channel: name.clone() })
    }

    /// The status of those of the named channels that exist, by the names as they were asked for.
    pub(crate) fn status(&mut self, pipe: &PipeName, names: &[String], now_ms: i64) -> Result<Value, Refusal> {
        self.table_of(pipe)?;
        self.settle(now_ms);
        let mut statuses = Map::new();
        for asked in names {
            if asked == ELASTIC {
                self.elastic(pipe, now_ms);
            }
            if let Some((name, channel)) = self.listed(pipe, asked) {
                let status = channel.status(&name, latency_ms(self.commit_delay));
                statuses.insert(asked.clone(), status);
            }
        }
        Ok(json!({ "channel_statuses": statuses }))
    }

    /// The table that a pipe feeds.
    pub(crate) fn table_of(&self, pipe: &PipeName) -> Result<TableName, Refusal> {
        if let Some(table) = self.declared.get(&pipe.pipe) {
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

    /// Stops committing, or resumes: what fell due in between commits at once.
    pub(crate) fn hold(&mut self, held: bool, now_ms: i64) {
        self.settle(now_ms);
        self.held = held;
        self.settle(now_ms);
    }

    pub(crate) fn table(&mut self, table: &TableName, now_ms: i64) -> Option<&Table> {
        self.settle(now_ms);
        self.tables.get(table)
    }

    /// Opens a channel behind its owner's back; `false` when there is none.
    pub(crate) fn steal(&mut self, name: &ChannelName, now_ms: i64) -> bool {
        let present = self.channels.contains_key(name) && !name.is_elastic();
        present && self.open(name, "", Opening::default(), now_ms).is_ok()
    }

    /// Removes a channel and its offset, as long idleness does; `false` when there is none.
    pub(crate) fn expire(&mut self, name: &ChannelName, now_ms: i64) -> bool {
        self.drop_channel(name, false, now_ms).is_ok()
    }

    /// Commits what is due. What cannot be written down stays uncommitted.
    fn settle(&mut self, now_ms: i64) {
        let now = Instant::now();
        while !self.held && self.in_flight.front().is_some_and(|rows| rows.due <= now) {
            let Some(rows) = self.in_flight.pop_front() else {
                return;
            };
            let key = rows.channel.clone();
            if rows.is_elastic() {
                if self.journaled(Record::Landed).is_err() {
                    return self.in_flight.push_front(rows);
                }
                self.elastic(&key.pipe, now_ms);
                self.land(rows);
            } else {
                let mut record = Record::Committed(rows);
                let written = self.journal.as_mut().map_or(Ok(()), |journal| journal.append(&mut record));
                let Record::Committed(rows) = record else {
                    return;
                };
                if written.is_err() {
                    return self.in_flight.push_front(rows);
                }
                self.land(rows);
            }
            if let Some(channel) = self.channels.get_mut(&key) {
                channel.in_flight = channel.in_flight.saturating_sub(1);
            }
        }
    }

    fn refuse_uncommitted(&self, name: &ChannelName) -> Result<(), Refusal> {
        let waiting = self.channels.get(name).map_or(0, |channel| channel.in_flight);
        if waiting == 0 {
            return Ok(());
        }
        Err(Refusal::new(
            409,
            "ERR_CHANNEL_HAS_UNCOMMITTED_DATA",
            format!("Channel {} has rows that are not committed.", name.channel),
        ))
    }

    fn discard(&mut self, name: &ChannelName) {
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        if channel.in_flight > 0 {
            channel.in_flight = 0;
            self.in_flight.retain(|rows| rows.channel != *name);
        }
    }

    fn elastic(&mut self, pipe: &PipeName, now_ms: i64) -> &mut Channel {
        self.channels.entry(pipe.channel(ELASTIC)).or_insert_with(|| Channel::new(ELASTIC.to_owned(), now_ms))
    }

    /// Unlike in a path, the case of a name counts in a list.
    fn listed(&self, pipe: &PipeName, asked: &str) -> Option<(ChannelName, &Channel)> {
        [canonical(asked), asked.to_owned()].into_iter().find_map(|channel| {
            let name = ChannelName { pipe: pipe.clone(), channel };
            let found = self.channels.get(&name)?;
            (found.spelling == bare(asked)).then_some((name, found))
        })
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

fn latency_ms(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}
