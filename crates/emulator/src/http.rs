//! An HTTP/1.1 server.

pub(crate) mod aws_chunked;
pub(crate) mod connection;
pub(crate) mod encoding;
pub(crate) mod reader;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod server;
pub(crate) mod stream;
pub(crate) mod tls;
