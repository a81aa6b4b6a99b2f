//! What a test can change and look at while the service runs: faults, forms of responses, the log of requests. The
//! endpoints for it are in `endpoints/control.rs`.

pub(crate) mod endpoint;
pub(crate) mod fault;
pub(crate) mod forms;
pub(crate) mod request_log;
