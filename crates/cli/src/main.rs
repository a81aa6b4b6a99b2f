//! The program `snowpipe`: hands the arguments to a command and turns its result into an exit code.
#![forbid(unsafe_code)]

mod check;
mod demo;
mod embedded;
mod emulator;
mod load;
mod sample;
mod warnings;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use snowpipe_streaming::{Error, ErrorKind};

/// The result of a command. Its error is printed as the last line, and its kind decides the exit code.
type Result<T> = std::result::Result<T, Error>;

fn main() -> ExitCode {
    warnings::show();
    run(std::env::args_os().skip(1)).unwrap_or_else(|error| fail(error.kind(), &error.to_string()))
}

fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let command = arguments.next().map(utf8).transpose()?;
    if command.as_deref() == Some("load") {
        return load::run(arguments.collect());
    }
    let arguments = arguments.map(utf8).collect::<Result<Vec<_>>>()?.into_iter();
    match command.as_deref() {
        Some("check") => check::run(arguments),
        Some("emulator") => emulator::run(arguments),
        Some("demo") => demo::run(arguments),
        Some("-h" | "--help" | "help") => print(HELP),
        Some("-V" | "--version") => print(concat!("snowpipe ", env!("CARGO_PKG_VERSION"), "\n")),
        Some(unknown) => Err(misuse(format!("{unknown:?} is not a command; see snowpipe --help"))),
        None => Err(misuse("a command is needed; see snowpipe --help")),
    }
}

/// Prints the last line, and returns the exit code of this kind of error.
fn fail(kind: ErrorKind, message: &str) -> ExitCode {
    // A name in it may hold line breaks; the error is one line.
    print_error(format_args!("error: {}\n", message.replace(['\r', '\n'], " ")));
    ExitCode::from(exit_code(kind))
}

/// What a caller can act on: 2 correct the call, 3 look at the rejected rows, 4 correct the file, 5 find out who uses the
/// channel, 6 correct the set-up, 7 and 8 run it again.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Config => 2,
        ErrorKind::NotStored => 3,
        ErrorKind::Row | ErrorKind::Source => 4,
        ErrorKind::Conflict => 5,
        ErrorKind::Credentials | ErrorKind::Clock | ErrorKind::Refused => 6,
        ErrorKind::Channel
        | ErrorKind::Throttled
        | ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::Unconfirmed => 7,
        ErrorKind::Stopped => 8,
        // A response that was not understood, and kinds that are newer than this program.
        _ => 1,
    }
}

fn utf8(argument: OsString) -> Result<String> {
    argument.into_string().map_err(|argument| misuse(format!("the argument {argument:?} is not UTF-8")))
}

/// Wrong use: of arguments, or of the files that they name.
fn misuse(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, reason)
}

/// Nothing that a caller could correct.
fn unexpected(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Protocol, reason)
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Prints to standard error. Where that cannot be written, the exit code still says what happened; `eprint!` would panic.
fn print_error(text: impl Display) {
    // In one piece, so that other writers do not come in between.
    let _ = io::stderr().write_all(text.to_string().as_bytes());
}

/// Prints to standard output. `print!` would panic if that is full, or closed by a reader that has seen enough.
fn print(text: impl Display) -> Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(unexpected(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

const HELP: &str = "\
Loads rows into Snowflake through Snowpipe Streaming, every row once.

Usage: snowpipe COMMAND [ARGUMENT]...

  load      loads a file of NDJSON into a table
  check     walks the login of a profile step by step
  emulator  runs a local emulator of the service, for clients in any language
  demo      loads 10,000 bundled rows into the emulator; needs no account

  -h, --help       this text; snowpipe COMMAND --help describes a command
  -V, --version    the program's version

Exit codes:
  0  done
  1  unexpected; report it
  2  wrong use: arguments, files, profile; nothing was sent
  3  all is committed, but more rows were rejected than allowed
  4  stopped at a bad row, or the file failed; the rows before are committed
  5  the channel belongs to something else, such as another file
  6  refused: credentials, clock, role, grants, names
  7  out of reach or too slow, or unknown whether applied: run it again later
  8  stopped: run it again to go on
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_never_change() {
        use ErrorKind::*;
        for (code, kinds) in [
            (1, &[Protocol][..]),
            (2, &[Config]),
            (3, &[NotStored]),
            (4, &[Row, Source]),
            (5, &[Conflict]),
            (6, &[Credentials, Clock, Refused]),
            (7, &[Channel, Throttled, Unavailable, Timeout, Unconfirmed]),
            (8, &[Stopped]),
        ] {
            assert!(kinds.iter().all(|kind| exit_code(*kind) == code), "{code} is not that of {kinds:?}");
        }
    }
}
