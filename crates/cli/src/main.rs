//! The program `snowpipe`: hands the arguments to a command and turns its result into an exit code.
#![forbid(unsafe_code)]

mod check;
mod demo;
mod embedded;
mod emulator;
mod load;
mod sample;

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// The result of a command. Its error is printed as the last line.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments = match std::env::args_os().skip(1).map(OsString::into_string).collect() {
        Ok(arguments) => Vec::into_iter(arguments),
        Err(argument) => return misuse(&format!("the argument {argument:?} is not UTF-8")),
    };
    let result = match arguments.next().as_deref() {
        Some("load") => load::run(arguments),
        Some("check") => check::run(arguments),
        Some("emulator") => emulator::run(arguments),
        Some("demo") => demo::run(arguments),
        Some("-h" | "--help" | "help") => print(HELP),
        Some("-V" | "--version") => print(concat!("snowpipe ", env!("CARGO_PKG_VERSION"), "\n")),
        Some(unknown) => return misuse(&format!("{unknown:?} is not a command; see snowpipe --help")),
        None => return misuse("a command is needed; see snowpipe --help"),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Wrong use of the program itself. A command reports wrong arguments of its own as an error like any other.
fn misuse(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(2)
}

/// Prints to standard output. `print!` would panic if that is full, or closed by a reader that has seen enough.
fn print(text: impl Display) -> Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}").into())
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
";
