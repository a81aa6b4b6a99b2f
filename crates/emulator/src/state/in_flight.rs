//! Rows between their receipt and their commit.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::state::batch::Batch;
use crate::state::channel::{Applied, LastError};
use crate::state::name::{ChannelName, TableName};

/// One request's rows on their way into a table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InFlight {
    pub(crate) channel: ChannelName,
    pub(crate) table: TableName,
    pub(crate) offset_token: Option<String>,
    /// The channel's row sequencer once these rows are in.
    pub(crate) row_sequencer: u64,
    pub(crate) applied: Option<Applied>,
    pub(crate) received_on_ms: i64,
    /// The latest row of these that cannot land.
    pub(crate) error: Option<LastError>,
    pub(crate) batch: Batch,
    #[serde(skip, default = "Instant::now")]
    pub(crate) due: Instant,
}

impl InFlight {
    pub(crate) fn is_elastic(&self) -> bool {
        self.channel.is_elastic()
    }
}
