//! What a test can change and look at.

pub(crate) mod fault;
pub(crate) mod forms;
pub(crate) mod request_log;
