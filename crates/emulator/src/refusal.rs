//! Why a request is refused: what the caller is told, and what only the log is told.

use std::borrow::Cow;

/// A request that the service does not carry out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
    /// Kept from the caller, as the service keeps it: shown in the request log only.
    pub(super) detail: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code: Cow::Borrowed(code), message: message.into(), detail: None }
    }

    /// A request whose form is wrong.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "ERR_INVALID_REQUEST", message)
    }

    pub(super) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
