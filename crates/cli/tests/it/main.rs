//! The program `snowpipe` as a user meets it: arguments, output, exit code.

mod support;

mod check;
mod commands;
mod demo;
mod emulator;
mod load;
