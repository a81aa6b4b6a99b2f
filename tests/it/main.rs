//! Tests of the public interface over loopback: literal wire content, landed rows, faults.

mod support;

mod bad_moments;
mod bad_rows;
mod changing_files;
mod channel_counts;
mod channel_names;
mod channel_opening;
mod channel_recovery;
mod channel_statuses;
mod channels;
mod chaos;
mod checking;
mod contract;
mod crash;
mod deadlines;
mod elastic;
mod error_table;
mod faults;
mod files;
#[cfg(unix)]
mod fork;
mod json_source;
mod loading;
mod login;
mod many_files;
mod misuse;
mod oauth;
mod proxies;
mod refusals;
mod rotation;
mod several_channels;
mod stopping;
mod tls;
mod too_long;
mod unreachable;
mod waiting_sources;
mod wire;
mod writer_pool;
mod writing;
