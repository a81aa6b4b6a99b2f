use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::state::in_flight::{AppendId, InFlight, RowError};
use crate::state::name::ChannelName;

/// A channel that exists: its two sequencers, its counters and its status.
///
/// The client sequencer counts openings, the row sequencer the appends since the last one. A continuation token holds
/// both, so an opening by another client makes all earlier tokens stale at once.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// As it was written when the channel was made; lists of channels are looked up by it.
    pub(crate) spelling: String,
    pub(crate) created_on_ms: i64,
    pub(crate) client_sequencer: u64,
    pub(crate) row_sequencer: u64,
    /// How many batches are received and not committed.
    pub(crate) uncommitted_batches: usize,
    pub(crate) last_append: Option<AppendId>,
    pub(crate) committed: Committed,
}

/// What the committed batches add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset_token: Option<String>,
    pub(crate) rows_inserted: u64,
    pub(crate) rows_parsed: u64,
    pub(crate) rows_error_count: u64,
    pub(crate) last_error: Option<RowError>,
}

/// What the continuation token of an append says about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The append is the next one in order.
    Next,
    /// It is the last append again: its response was lost.
    Replay,
}

impl Channel {
    pub(crate) fn new(spelling: String, created_on_ms: i64) -> Self {
        Self {
            spelling,
            created_on_ms,
            client_sequencer: 0,
            row_sequencer: 0,
            uncommitted_batches: 0,
            last_append: None,
            committed: Committed::default(),
        }
    }

    /// Makes every token issued so far stale.
    pub(crate) fn take_over(&mut self, client_sequencer: u64) {
        self.client_sequencer = client_sequencer;
        self.row_sequencer = 0;
        self.last_append = None;
    }

    /// The token that the next append has to present.
    pub(crate) fn continuation_token(&self) -> String {
        format!("{}_{}", self.client_sequencer, self.row_sequencer)
    }

    /// Checks the token that an append presents. A replay has to repeat the request id, too: the token alone would also
    /// match another writer's append at the same place.
    pub(crate) fn check_token(&self, token: &str, request_id: Option<&str>) -> Result<Turn, Refusal> {
        if token == self.continuation_token() {
            return Ok(Turn::Next);
        }
        let is_replay = self
            .last_append
            .as_ref()
            .is_some_and(|last| last.token == token && Some(last.request_id.as_str()) == request_id);
        if is_replay {
            return Ok(Turn::Replay);
        }
        if !is_well_formed(token) {
            return Err(Refusal::new(400, "ERR_INVALID_CONTINUATION_TOKEN", "The continuation token is malformed."));
        }
        Err(stale_token())
    }

    pub(crate) fn advance(&mut self, row_sequencer: u64, append: Option<AppendId>) {
        self.row_sequencer = row_sequencer;
        self.last_append = append;
    }

    pub(crate) fn status(&self, name: &ChannelName, latency_ms: u64) -> Value {
        let committed = &self.committed;
        let error = committed.last_error.as_ref();
        json!({
            "database_name": name.pipe.database,
            "schema_name": name.pipe.schema,
            "pipe_name": name.pipe.pipe,
            "channel_name": self.spelling,
            "channel_status_code": "SUCCESS",
            "last_committed_offset_token": committed.offset_token,
            "created_on_ms": self.created_on_ms,
            "rows_inserted": committed.rows_inserted,
            "rows_parsed": committed.rows_parsed,
            "rows_error_count": committed.rows_error_count,
            "last_error_offset_upper_bound": error.and_then(|e| e.offset_upper_bound.as_deref()),
            "last_error_message": error.map(|e| e.message.as_str()),
            "last_error_timestamp_ms": error.map(|e| e.at_ms),
            "snowflake_avg_processing_latency_ms": latency_ms,
        })
    }
}

impl Committed {
    pub(crate) fn add(&mut self, rows: &InFlight) {
        self.rows_inserted += rows.batch.good;
        self.rows_parsed += rows.batch.parsed();
        self.rows_error_count += rows.batch.bad;
        // Batches without an error or an offset leave those of earlier ones standing.
        if rows.error.is_some() {
            self.last_error.clone_from(&rows.error);
        }
        if rows.offset_token.is_some() {
            self.offset_token.clone_from(&rows.offset_token);
        }
    }
}

/// The refusal of a token that another opening or append made stale, and of an append without any token.
pub(crate) fn stale_token() -> Refusal {
    Refusal::new(
        400,
        "STALE_CONTINUATION_TOKEN_SEQUENCER",
        "The continuation token is stale or missing. Reopen the channel.",
    )
}

fn is_well_formed(token: &str) -> bool {
    let is_number = |part: &str| part.parse::<u64>().is_ok();
    token.split_once('_').is_some_and(|(client, row)| is_number(client) && is_number(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Channel {
        let mut channel = Channel::new("c".to_owned(), 0);
        channel.take_over(7);
        channel
    }

    fn append(channel: &mut Channel, token: &str, request_id: &str) {
        let id = AppendId { request_id: request_id.to_owned(), token: token.to_owned() };
        channel.advance(channel.row_sequencer + 1, Some(id));
    }

    #[test]
    fn the_last_append_is_known_again_by_request_and_token_together() {
        let mut channel = opened();
        let first = channel.continuation_token();
        append(&mut channel, &first, "id-1");
        assert_eq!(channel.check_token(&first, Some("id-1")).unwrap(), Turn::Replay);
        for (token, id) in [(first.as_str(), Some("id-2")), (&first, None)] {
            let refusal = channel.check_token(token, id).unwrap_err();
            assert_eq!(refusal.code, "STALE_CONTINUATION_TOKEN_SEQUENCER");
        }
        let second = channel.continuation_token();
        assert_eq!(channel.check_token(&second, Some("id-1")).unwrap(), Turn::Next);
        append(&mut channel, &second, "id-2");
        assert!(channel.check_token(&first, Some("id-2")).is_err());
    }

    #[test]
    fn another_opening_outdates_every_token() {
        let mut channel = opened();
        let old = channel.continuation_token();
        append(&mut channel, &old, "id");
        channel.take_over(8);
        assert_eq!(channel.check_token(&old, Some("id")).unwrap_err().status, 400);
        assert_eq!(channel.check_token("no token", None).unwrap_err().code, "ERR_INVALID_CONTINUATION_TOKEN");
    }
}
