//! What the service remembers: channels, batches on their way, and tables.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::channel::{self, Channel, LastError, Turn};
use super::landing::Block;
use super::name::{ChannelName, ELASTIC, PipeName, TableName, bare, canonical};
use super::refusal::Refusal;
use super::rows::Batch;

/// All state of the service that a request can change. Commits happen when somebody looks: no thread
/// is needed, and what was due is always seen.
#[derive(Debug)]
pub(super) struct Ledger {
    declared: BTreeMap<String, String>,
    commit_delay: Duration,
    held: bool,
    openings: u64,
    channels: HashMap<ChannelName, Channel>,
    in_flight: VecDeque<InFlight>,
    tables: HashMap<TableName, Vec<Arc<Block>>>,
}

#[derive(Debug)]
struct InFlight {
    channel: ChannelName,
    table: TableName,
    due: Instant,
    offset_token: Option<String>,
    batch: Batch,
}

/// How a channel is to be opened.
#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) offset_token: Option<String>,
    pub(super) fail_on_uncommitted_rows: bool,
}

/// One append to a Named Channel.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) token: String,
    pub(super) request_id: Option<String>,
    pub(super) offset_token: Option<String>,
    pub(super) batch: Batch,
}

impl Ledger {
    pub(super) fn new(declared: BTreeMap<String, String>, commit_delay: Duration) -> Self {
        Self {
            declared,
            commit_delay,
            held: false,
            openings: 0,
            channels: HashMap::new(),
            in_flight: VecDeque::new(),
            tables: HashMap::new(),
        }
    }

    pub(super) fn open(
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
        self.discard(name);
        self.openings += 1;
        let channel = self.channels.entry(name.clone()).or_insert_with(|| Channel::new(bare(spelling), now_ms));
        channel.take_over(self.openings);
        if opening.offset_token.is_some() {
            channel.committed.offset_token = opening.offset_token;
        }
        Ok(json!({
            "next_continuation_token": channel.continuation_token(),
            "channel_status": channel.status(name, latency_ms(self.commit_delay)),
        }))
    }

    pub(super) fn append(&mut self, name: &ChannelName, append: Append, now_ms: i64) -> Result<String, Refusal> {
        let table = self.table_of(&name.pipe)?;
        self.settle(now_ms);
        let due = Instant::now() + self.commit_delay;
        let channel = self.channels.get_mut(name).ok_or_else(|| unknown_channel(name))?;
        let request_id = append.request_id.as_deref();
        if channel.judge(&append.token, request_id)? == Turn::Next {
            channel.advance(&append.token, request_id);
            self.in_flight.push_back(InFlight {
                channel: name.clone(),
                table,
                due,
                offset_token: append.offset_token,
                batch: append.batch,
            });
        }
        Ok(channel.continuation_token())
    }

    /// Takes rows without order. They are durable at once and land when they are due.
    pub(super) fn append_elastic(&mut self, pipe: &PipeName, batch: Batch, now_ms: i64) -> Result<(), Refusal> {
        let table = self.table_of(pipe)?;
        self.settle(now_ms);
        self.elastic(pipe, now_ms).in_flight += 1;
        self.in_flight.push_back(InFlight {
            channel: pipe.channel(ELASTIC),
            table,
            due: Instant::now() + self.commit_delay,
            offset_token: None,
            batch,
        });
        Ok(())
    }

    pub(super) fn drop_channel(
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
        self.forget(name);
        Ok(())
    }

    /// The status of those of the named channels that exist, by the names as they were asked for.
    pub(super) fn status(&mut self, pipe: &PipeName, names: &[String], now_ms: i64) -> Result<Value, Refusal> {
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
    pub(super) fn table_of(&self, pipe: &PipeName) -> Result<TableName, Refusal> {
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
    pub(super) fn hold(&mut self, held: bool, now_ms: i64) {
        self.settle(now_ms);
        self.held = held;
        self.settle(now_ms);
    }

    pub(super) fn rows(&mut self, table: &TableName, now_ms: i64) -> Option<Vec<Arc<Block>>> {
        self.settle(now_ms);
        self.tables.get(table).cloned()
    }

    /// Opens a channel behind its owner's back; `false` when there is none.
    pub(super) fn steal(&mut self, name: &ChannelName, now_ms: i64) -> bool {
        self.settle(now_ms);
        self.discard(name);
        self.openings += 1;
        let Some(channel) = self.channels.get_mut(name) else {
            return false;
        };
        channel.take_over(self.openings);
        true
    }

    /// Removes a channel and its offset, as long idleness does; `false` when there is none.
    pub(super) fn expire(&mut self, name: &ChannelName, now_ms: i64) -> bool {
        self.settle(now_ms);
        self.forget(name)
    }

    /// Commits what is due.
    fn settle(&mut self, now_ms: i64) {
        let now = Instant::now();
        while !self.held && self.in_flight.front().is_some_and(|batch| batch.due <= now) {
            if let Some(batch) = self.in_flight.pop_front() {
                self.commit(batch, now_ms);
            }
        }
    }

    fn commit(&mut self, landing: InFlight, now_ms: i64) {
        let batch = landing.batch;
        if let Some(channel) = self.channels.get_mut(&landing.channel) {
            channel.in_flight = channel.in_flight.saturating_sub(1);
            let committed = &mut channel.committed;
            committed.rows_inserted += batch.good;
            committed.rows_parsed += batch.parsed();
            committed.rows_error_count += batch.bad;
            if let Some(message) = batch.last_error {
                committed.last_error = Some(LastError {
                    message: message.to_owned(),
                    offset_upper_bound: landing.offset_token.clone(),
                    at_ms: now_ms,
                });
            }
            if landing.offset_token.is_some() {
                committed.offset_token = landing.offset_token;
            }
        }
        let blocks = self.tables.entry(landing.table).or_default();
        blocks.extend(batch.block);
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
            self.in_flight.retain(|batch| batch.channel != *name);
        }
    }

    fn forget(&mut self, name: &ChannelName) -> bool {
        self.discard(name);
        self.channels.remove(name).is_some()
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

/// An append that shows no token at all.
pub(super) fn missing_token() -> Refusal {
    channel::stale()
}
