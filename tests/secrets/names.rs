//! Names hold anything: they forge no line in what is read line by line, and do not turn the order of its characters.

use std::time::Duration;

use snowpipe_streaming::{Client, Credentials, Error, Loader, Source};

use super::echo::{Echo, Encoding, Place};
use super::heard::{complain, lines, listen};
use super::server::{Endpoint, Server};

const NAME: &str = "c\n2026-01-01 ERROR forged\u{1b}[31m\u{202e}txet\u{2066}\u{200b}\u{2028}\r";

/// It as it is shown.
const SHOWN: &str = r"c\n2026-01-01 ERROR forged\u{1b}[31m\u{202e}txet\u{2066}\u{200b}\u{2028}\r";

fn assert_one_line(text: &str) {
    let is_forged = |c: char| c.is_control() || "\u{202e}\u{2066}\u{200b}\u{2028}".contains(c);
    assert!(!text.contains(is_forged), "{text:?}");
}

fn shown<T>(result: Result<T, Error>) {
    let error = result.err().unwrap();
    complain(&error);
    for text in [error.to_string(), format!("{error:?}")] {
        assert_one_line(&text);
    }
    assert!(error.to_string().to_lowercase().contains(&SHOWN.to_lowercase()), "{error}");
}

#[test]
fn no_name_forges_a_line_in_an_error_a_report_or_the_log() {
    listen();
    let server = Server::start();
    let builder = || Client::builder("myorg-account1", Credentials::oauth_token("token")).retry_budget(Duration::ZERO);
    let client = builder().url(&server.url).build().unwrap();
    let pipe = client.pipe("DB", "S", NAME);
    assert_one_line(&format!("{pipe:?}"));
    drop(pipe.channel("c").open().unwrap());
    let pipe = client.table("DB", "S", "T");
    let mut writer = pipe.channel(NAME).open().unwrap().into_writer();
    writer.write_json(b"{}", 1).unwrap();
    drop(writer);
    let refuse = |endpoint| server.echo(Some(Echo { endpoint, encoding: Encoding::Plain, place: Place::Message(400) }));
    refuse(Endpoint::Open);
    shown(pipe.channel(NAME).open());
    shown(Loader::new(&pipe, NAME).load(Source::reader("r", &b"{}\n"[..])));
    refuse(Endpoint::Drop);
    shown(pipe.drop_channel(NAME));
    refuse(Endpoint::Status);
    shown(pipe.statuses(&[NAME]));
    server.echo(None);
    let lines = lines();
    assert!(lines.iter().any(|line| line.contains(r"forged\u{1b}[31m\u{202e}txet")), "{lines:?}");
    lines.iter().for_each(|line| assert_one_line(line));
    let builder = builder().role("R\u{202e}").url(&server.url);
    let report = builder.build().unwrap().check();
    assert!(report.is_ok(), "{report}");
    report.to_string().lines().for_each(assert_one_line);
}
