use std::sync::{Mutex, Once};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// What the client has logged at this level with this text in it, since the first call.
pub fn logged(level: Level, part: &str) -> Vec<String> {
    static BEGIN: Once = Once::new();
    BEGIN.call_once(|| {
        log::set_logger(&LISTENER).unwrap();
        log::set_max_level(LevelFilter::Debug);
    });
    let lines = LISTENER.0.lock().unwrap();
    lines.iter().filter(|(at, line)| *at == level && line.contains(part)).map(|(_, line)| line.clone()).collect()
}

static LISTENER: Listener = Listener(Mutex::new(Vec::new()));

struct Listener(Mutex<Vec<(Level, String)>>);

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("snowpipe")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}
