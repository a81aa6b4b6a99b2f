//! A Snowpipe Streaming service on loopback.
