//! Why a request is refused: what the caller is told, and what only the log is told.

use std::borrow::Cow;

/// A request that the service does not carry out.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
    /// Kept from the caller, as the service keeps it: shown in the request log only.
    pub(crate) detail: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code: Cow::Borrowed(code), message: message.into(), detail: None }
    }

    /// A request whose form is wrong.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "ERR_INVALID_REQUEST", message)
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
