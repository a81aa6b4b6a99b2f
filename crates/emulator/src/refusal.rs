/// A request that the service does not carry out: what the response says, and what only the log says.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// For the request log only. The service keeps such details from its callers, so the emulator does, too.
    pub(crate) detail: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: None }
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
