//! The client of Hii Retail's IAM over loopback: literal requests, every documented status, and what must never be said.
//!
//! ```text
//! cargo test --features hiiretail --test hiiretail
//! ```

mod support;

mod contract;
mod discovery;
mod emulated;
mod limits;
mod raw;
mod replies;
mod secrecy;
mod statuses;
