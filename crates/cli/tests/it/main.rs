//! The program `snowpipe` as a user meets it: arguments, output, exit code.

mod support;

mod check;
mod commands;
mod default_channel;
mod demo;
mod elastic;
mod emulator;
mod exit_codes;
mod load;
mod packed;
mod summary;
mod waiting;
