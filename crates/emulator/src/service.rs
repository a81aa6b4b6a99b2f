use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::control::fault::Faults;
use crate::control::forms::Forms;
use crate::control::request_log::RequestLog;
use crate::http::buffer_pool::BufferPool;
use crate::identity::credentials::Credentials;
use crate::state::ledger::Ledger;
use crate::state::name::TableName;
use crate::state::stage::Stage;
use crate::state::table::Table;

/// What all requests share, and the Rust API with them. It knows nothing of endpoints: they are functions over it.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) clock: Clock,
    pub(crate) credentials: Credentials,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) stage: Stage,
    pub(crate) faults: Faults,
    pub(crate) forms: Mutex<Forms>,
    pub(crate) log: RequestLog,
    pub(crate) buffers: BufferPool,
    /// Rows that hold this text count as errors.
    rejected: Mutex<Option<Arc<[u8]>>>,
}

impl Service {
    pub(crate) fn new(url: String, credentials: Credentials, ledger: Ledger, stage: Stage) -> Self {
        Self {
            url,
            clock: Clock::default(),
            credentials,
            ledger: Mutex::new(ledger),
            stage,
            faults: Faults::default(),
            forms: Mutex::default(),
            log: RequestLog::default(),
            buffers: BufferPool::default(),
            rejected: Mutex::new(None),
        }
    }

    /// Reads from a table; one that no row landed in is empty. `None` when the name is not `DB.SCHEMA.TABLE`.
    pub(crate) fn read_table<T: Default>(&self, table: &str, read: impl Fn(&Table) -> T) -> Option<T> {
        let name = TableName::parse(table)?;
        let now_ms = self.clock.unix_ms();
        let mut ledger = self.ledger.lock();
        if let Some(table) = ledger.table(&name, now_ms) {
            return Some(read(table));
        }
        // Callers that ask for a table with a quoted name often leave the quotes out.
        let quoted = TableName::parse_as_quoted(table)?;
        Some(ledger.table(&quoted, now_ms).map(read).unwrap_or_default())
    }

    pub(crate) fn rejected_text(&self) -> Option<Arc<[u8]>> {
        self.rejected.lock().clone()
    }

    /// Rejects rows that hold this text from now on, and with an empty text none.
    pub(crate) fn reject_rows_containing(&self, text: &str) {
        let text = (!text.is_empty()).then(|| Arc::from(text.as_bytes()));
        *self.rejected.lock() = text;
    }
}

/// The name of the account host and of the ingest host alike, without the port.
pub(crate) const HOST: &str = "127.0.0.1";
