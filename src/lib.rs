//! Blocking, runtime-free client for Snowflake's Snowpipe Streaming service.

#[cfg(feature = "emulator")]
pub mod emulator;
