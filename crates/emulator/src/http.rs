//! A small HTTP/1.1 server, plain or with TLS. It knows nothing of Snowpipe: what to respond comes from a
//! [`Handler`](handler::Handler).
//!
//! It is written here rather than taken from a crate because faults need the connection itself: to close it without a
//! response, or to send half of one.

pub(crate) mod aws_chunked;
pub(crate) mod buffer_pool;
pub(crate) mod connection;
pub(crate) mod encoding;
pub(crate) mod handler;
pub(crate) mod pauses;
pub(crate) mod reader;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod server;
pub(crate) mod stream;
pub(crate) mod tls;
