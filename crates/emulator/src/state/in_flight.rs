use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::state::batch::Batch;
use crate::state::name::{ChannelName, TableName};

/// The rows of one request between their receipt and their commit. The journal stores it, so its fields keep their
/// names there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InFlight {
    pub(crate) channel: ChannelName,
    pub(crate) table: TableName,
    pub(crate) offset_token: Option<String>,
    /// The channel's row sequencer after these rows.
    pub(crate) row_sequencer: u64,
    #[serde(rename = "applied")]
    pub(crate) append_id: Option<AppendId>,
    pub(crate) received_on_ms: i64,
    /// The last of these rows that cannot land.
    pub(crate) error: Option<RowError>,
    pub(crate) batch: Batch,
    #[serde(skip, default = "Instant::now")]
    pub(crate) due: Instant,
}

impl InFlight {
    pub(crate) fn is_elastic(&self) -> bool {
        self.channel.is_elastic()
    }

    /// Lets go of the rows in memory: they are read from this part of the file from now on.
    pub(crate) fn read_from(&mut self, file: &Arc<Mutex<File>>, start: u64, len: usize) {
        if let Some(block) = &mut self.batch.block {
            *block = Arc::new(block.moved_to(file, start, len));
        }
    }
}

/// What identifies an append, to recognise it when it is sent again because its response was lost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AppendId {
    pub(crate) request_id: String,
    pub(crate) token: String,
}

/// A row that did not land.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowError {
    pub(crate) message: String,
    pub(crate) offset_upper_bound: Option<String>,
    pub(crate) at_ms: i64,
}

impl RowError {
    /// The last error of a batch whose rows end at this offset.
    pub(crate) fn last_of(batch: &Batch, offset: Option<&str>, at_ms: i64) -> Option<Self> {
        batch.last_error.as_ref().map(|message| Self {
            message: message.to_string(),
            offset_upper_bound: offset.map(str::to_owned),
            at_ms,
        })
    }
}
