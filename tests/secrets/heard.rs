//! Everything that the library says, and the search for secrets in it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::error::Error as _;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use log::{Level, LevelFilter, Log, Metadata, Record};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use snowpipe_streaming::{CheckOutcome, CheckReport, CheckStep, Error};

thread_local! {
    /// Log lines of the library itself.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// By this thread: the client has no other.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
    /// What ureq logs of the headers of responses.
    static HEADERS_LOGGED: RefCell<String> = const { RefCell::new(String::new()) };
    /// Whether a panic of this thread is part of the test.
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

struct Listener;

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let ours = ["snowpipe_streaming", "ureq", "rustls", "webpki"];
        let (target, text) = (record.target(), record.args().to_string());
        if !ours.iter().any(|name| target.starts_with(name)) || target == "ureq_proto::util" {
            return;
        }
        // The headers of a response as they came: the documentation names both targets.
        if target == "ureq::run" && text.starts_with("Response {")
            || target == "ureq::body" && text.starts_with("Unknown content-encoding")
        {
            assert!(record.level() >= Level::Debug);
            HEADERS_LOGGED.with_borrow_mut(|logged| logged.push_str(&text));
            return;
        }
        if target.starts_with("snowpipe_streaming") {
            LINES.with_borrow_mut(|lines| lines.push(text.clone()));
        }
        say(&format!("{target} {text}"));
    }

    fn flush(&self) {}
}

/// From now on log lines of every level and the messages of expected panics are heard.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Listener).unwrap();
        log::set_max_level(LevelFilter::Trace);
        let before = take_hook();
        set_hook(Box::new(move |panic| match PANICS.get() {
            true => say(&panic.to_string()),
            false => before(panic),
        }));
    });
}

/// The log lines of the library that this thread wrote.
pub fn lines() -> Vec<String> {
    LINES.take()
}

pub fn say(text: &str) {
    SAID.with_borrow_mut(|said| {
        said.push_str(text);
        said.push('\n');
    });
}

pub fn said(text: &str) -> bool {
    SAID.with_borrow(|said| said.contains(text))
}

pub fn headers_logged(text: &str) -> bool {
    HEADERS_LOGGED.with_borrow(|logged| logged.contains(text))
}

pub fn show(value: &impl Debug) {
    say(&format!("{value:?} {value:#?}"));
}

/// All that a program can do with an error; returns what it shows.
pub fn complain(error: &Error) -> String {
    show(error);
    let mut texts = vec![error.to_string(), format!("{:?} {:?}", error.code(), error.committed_offset())];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(format!("{error} {error:?} {error:#?}"));
        cause = error.source();
    }
    let texts = texts.join("\n");
    say(&texts);
    PANICS.set(true);
    let result = AssertUnwindSafe(Err(error.clone()));
    let panicked = catch_unwind(move || unwrap(result));
    PANICS.set(false);
    assert!(panicked.is_err());
    texts
}

/// As a program does that expects no error.
fn unwrap(result: AssertUnwindSafe<Result<(), Error>>) {
    result.0.unwrap();
}

pub fn report(report: &CheckReport) {
    show(report);
    say(&report.to_string());
    for step in CheckStep::ALL {
        match report.outcome(step) {
            CheckOutcome::Failed(error) => drop(complain(error)),
            outcome => say(&format!("{outcome} {outcome:?}")),
        }
    }
}

/// Fails if eight characters of a secret were said, in any form in which a server may have repeated it.
pub fn assert_unsaid(secrets: &[String]) {
    let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    let mut stretches = HashMap::new();
    for form in &forms {
        stretches.extend(form.as_bytes().windows(8).map(|stretch| (stretch, form)));
    }
    assert!(stretches.len() > 100, "{}", stretches.len());
    let said = SAID.take();
    for line in said.lines() {
        if let Some((stretch, form)) = line.as_bytes().windows(8).find_map(|stretch| stretches.get_key_value(stretch)) {
            panic!("{:?} of {form:?} was said: {line}", String::from_utf8_lossy(stretch));
        }
    }
}

/// As it is, in a form, in a URL, and what of a base64 depends on it alone.
fn forms(secret: &str) -> Vec<String> {
    let form = utf8_percent_encode(secret, FORM).to_string().replace("%20", "+");
    let mut forms = vec![secret.to_owned()];
    for text in [secret, &form] {
        for before in 0..3 {
            let padded = [&b"??"[..before], text.as_bytes()].concat();
            let own = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
            forms.push(STANDARD.encode(&padded)[own.clone()].to_owned());
            forms.push(URL_SAFE.encode(&padded)[own].to_owned());
        }
    }
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    forms.extend([form.clone(), form.replace("%2B", "%2b").replace("%2F", "%2f"), percent]);
    forms
}

const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
