//! The documented rules of the service: sequencers, commits in order, offsets, rejected rows.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::request::Append;
use super::schedule::Rules;

/// A row with this text in it cannot be stored.
pub(super) const BAD: &str = "BAD";

/// A row of another program has this text in it.
pub(super) const FOREIGN: &str = "FOREIGN";

#[derive(Debug)]
pub(super) struct Service {
    rules: Rules,
    /// By name in upper case: names in paths have no case.
    channels: BTreeMap<String, Held>,
    /// Deleted ones, and how many rows the current run had appended to them.
    pub(super) deleted: Vec<Held>,
    /// Never the same twice, also for a channel that is created anew.
    sequencer: u64,
    pub(super) slower_ms: u32,
}

/// One channel from its creation to its end.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) name: String,
    created: u64,
    client: u64,
    row: u64,
    committed: Option<String>,
    pending: VecDeque<Pending>,
    /// Rows in the order of their commits.
    pub(super) processed: Vec<Processed>,
    errors: u64,
    last_error: Option<String>,
    /// What the status was after each commit.
    history: Vec<(Option<String>, u64)>,
    /// By request id, for the current opener.
    responses: HashMap<String, String>,
    /// How many rows were processed when the current run opened it first.
    pub(super) at_open: Option<usize>,
    pub(super) offset_at_open: Option<String>,
    /// Requests that the current run had applied.
    pub(super) appended: usize,
}

#[derive(Debug)]
struct Pending {
    due: Instant,
    rows: Vec<String>,
    end: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Processed {
    pub(super) text: String,
    pub(super) is_rejected: bool,
    is_foreign: bool,
}

/// Status and body.
pub(super) type Answer = (u16, Value);

impl Service {
    pub(super) fn new(rules: Rules) -> Service {
        Service { rules, channels: BTreeMap::new(), deleted: Vec::new(), sequencer: 0, slower_ms: 0 }
    }

    /// Commits at once from now on.
    pub(super) fn hurry(&mut self) {
        (self.rules.commit_ms, self.slower_ms) = (0, 0);
    }

    pub(super) fn channel(&self, name: &str) -> Option<&Held> {
        self.channels.get(&name.to_uppercase())
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &Held> {
        self.channels.values()
    }

    /// Commits what is due.
    pub(super) fn settle(&mut self, now: Instant) {
        self.channels.values_mut().for_each(|channel| channel.settle(now));
    }

    pub(super) fn begin_run(&mut self) {
        self.deleted.clear();
        for channel in self.channels.values_mut() {
            (channel.at_open, channel.offset_at_open, channel.appended) = (None, None, 0);
        }
    }

    /// `is_seen`: the response reaches the client as it is.
    pub(super) fn open(&mut self, name: &str, fail_on_uncommitted: bool, is_seen: bool) -> Answer {
        if fail_on_uncommitted && self.channel(name).is_some_and(|channel| !channel.pending.is_empty()) {
            return (409, json!({"code": "ERR_CHANNEL_HAS_UNCOMMITTED_DATA", "message": "rows are in flight"}));
        }
        let channel = self.take(name);
        if is_seen && channel.at_open.is_none() {
            channel.at_open = Some(channel.processed.len());
            channel.offset_at_open = channel.committed.clone();
        }
        let mut status = channel.status(0);
        status["created_on_ms"] = channel.created.into();
        (200, json!({"next_continuation_token": channel.continuation(), "channel_status": status}))
    }

    /// Creates it or takes it over; what is in flight is discarded.
    fn take(&mut self, name: &str) -> &mut Held {
        self.sequencer += 1;
        let sequencer = self.sequencer;
        let spelt = if self.rules.upper_case { name.to_uppercase() } else { name.to_string() };
        let channel = self.channels.entry(name.to_uppercase()).or_insert_with(|| Held::new(spelt, sequencer));
        channel.pending.clear();
        channel.responses.clear();
        (channel.client, channel.row) = (sequencer, 0);
        channel
    }

    pub(super) fn append(&mut self, append: &Append, now: Instant) -> Answer {
        let (delay, repeat_is_stale) = (self.delay(), self.rules.repeat_is_stale);
        let Some(channel) = self.channels.get_mut(&append.channel.to_uppercase()) else {
            return no_such_channel();
        };
        match channel.responses.get(&append.request_id) {
            Some(next) if !repeat_is_stale => return (200, json!({"next_continuation_token": next})),
            None if append.continuation == channel.continuation() => {}
            _ => return (400, json!({"code": "STALE_CONTINUATION_TOKEN_SEQUENCER", "message": "stale"})),
        }
        channel.push(append.rows.clone(), append.end.clone(), now + delay);
        channel.row += 1;
        channel.appended += 1;
        let next = channel.continuation();
        channel.responses.insert(append.request_id.clone(), next.clone());
        (200, json!({"next_continuation_token": next}))
    }

    /// `lag`: as it was so many commits ago.
    pub(super) fn statuses(&self, names: &[String], lag: usize) -> Answer {
        let mut statuses = serde_json::Map::new();
        for name in names {
            // Here names have a case.
            let Some(channel) = self.channel(name).filter(|channel| channel.name == *name) else { continue };
            let mut status = channel.status(lag);
            if self.rules.status_has_created {
                status["created_on_ms"] = channel.created.into();
            }
            statuses.insert(name.clone(), status);
        }
        (200, json!({"channel_statuses": statuses}))
    }

    /// Another program opens the channel; unless it discards what is in flight, it has waited for that.
    pub(super) fn steal(&mut self, name: &str, discard: bool) {
        if self.channel(name).is_none() {
            return;
        }
        if !discard {
            self.commit_all(name);
        }
        self.take(name);
    }

    pub(super) fn append_foreign(&mut self, name: &str, marked: bool, now: Instant) {
        if self.channel(name).is_none() {
            return;
        }
        self.commit_all(name);
        let due = now + self.delay();
        let sequencer = self.sequencer;
        let token = marked.then(|| format!("w2-{sequencer}"));
        self.take(name).push(vec![format!("{{\"{FOREIGN}\":{sequencer}}}")], token, due);
    }

    pub(super) fn delete(&mut self, name: &str) -> Answer {
        match self.channels.remove(&name.to_uppercase()) {
            Some(channel) => {
                self.deleted.push(channel);
                (200, json!({}))
            }
            None => no_such_channel(),
        }
    }

    pub(super) fn delete_all(&mut self) {
        self.channels.clear();
    }

    fn commit_all(&mut self, name: &str) {
        if let Some(channel) = self.channels.get_mut(&name.to_uppercase()) {
            while let Some(pending) = channel.pending.pop_front() {
                channel.commit(pending);
            }
        }
    }

    /// How long each request takes.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_millis(self.rules.latency_ms.into())
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(u64::from(self.rules.commit_ms) + u64::from(self.slower_ms))
    }
}

impl Held {
    fn new(name: String, created: u64) -> Held {
        Held {
            name,
            created: 1_790_000_000_000 + created,
            client: 0,
            row: 0,
            committed: None,
            pending: VecDeque::new(),
            processed: Vec::new(),
            errors: 0,
            last_error: None,
            history: vec![(None, 0)],
            responses: HashMap::new(),
            at_open: None,
            offset_at_open: None,
            appended: 0,
        }
    }

    /// The rows of programs under test, in order: processed ones, then those in flight.
    pub(super) fn own_rows(&self) -> Vec<&str> {
        let pending = self.pending.iter().flat_map(|pending| pending.rows.iter().map(String::as_str));
        own(&self.processed).into_iter().chain(pending.filter(|row| !row.contains(FOREIGN))).collect()
    }

    pub(super) fn own_processed(&self) -> Vec<&str> {
        own(&self.processed)
    }

    /// Another program has committed rows with an offset token of its own.
    pub(super) fn has_foreign_offset(&self) -> bool {
        let is_foreign = |token: &Option<String>| token.as_ref().is_some_and(|token| token.starts_with("w2-"));
        self.history.iter().any(|(token, _)| is_foreign(token))
            || self.pending.iter().any(|pending| is_foreign(&pending.end))
    }

    pub(super) fn has_committed(&self, offset: &str) -> bool {
        self.history.iter().any(|(token, _)| token.as_deref() == Some(offset))
    }

    fn continuation(&self) -> String {
        format!("{}_{}", self.client, self.row)
    }

    fn push(&mut self, rows: Vec<String>, end: Option<String>, due: Instant) {
        let due = self.pending.back().map_or(due, |before| before.due.max(due));
        self.pending.push_back(Pending { due, rows, end });
    }

    fn settle(&mut self, now: Instant) {
        while self.pending.front().is_some_and(|first| first.due <= now) {
            self.pending.pop_front().into_iter().for_each(|pending| self.commit(pending));
        }
    }

    fn commit(&mut self, pending: Pending) {
        for text in pending.rows {
            let is_rejected = text.contains(BAD);
            self.errors += u64::from(is_rejected);
            if is_rejected {
                self.last_error = pending.end.clone();
            }
            let is_foreign = text.contains(FOREIGN);
            self.processed.push(Processed { text, is_rejected, is_foreign });
        }
        self.committed = pending.end.or(self.committed.take());
        self.history.push((self.committed.clone(), self.errors));
    }

    fn status(&self, lag: usize) -> Value {
        let (committed, errors) = &self.history[(self.history.len() - 1).saturating_sub(lag)];
        json!({
            "channel_name": self.name,
            "channel_status_code": "SUCCESS",
            "last_committed_offset_token": committed,
            "rows_inserted": self.processed.len() as u64 - self.errors,
            "rows_parsed": self.processed.len(),
            "rows_error_count": errors,
            "last_error_offset_upper_bound": self.last_error,
            "last_error_message": self.last_error.as_ref().map(|_| "not a number"),
            "last_error_timestamp": null,
            "snowflake_avg_processing_latency_ms": 7,
        })
    }
}

fn no_such_channel() -> Answer {
    let code = "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED";
    (404, json!({"code": code, "message": "no such channel"}))
}

pub(super) fn own(rows: &[Processed]) -> Vec<&str> {
    rows.iter().filter(|row| !row.is_foreign).map(|row| row.text.as_str()).collect()
}
