//! What the library logs as a warning, such as a long wait for the service, goes to standard error.

use log::{LevelFilter, Log, Metadata, Record};

use crate::print_error;

/// From here on; once in a process.
pub(crate) fn show() {
    // Only this function sets a logger.
    if log::set_logger(&Warnings).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

struct Warnings;

impl Log for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Warn && metadata.target().starts_with("snowpipe")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Only the last line begins with "error:".
            print_error(format_args!("warning: {}\n", record.args()));
        }
    }

    fn flush(&self) {}
}
