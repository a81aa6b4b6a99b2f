//! `snowpipe load --elastic`: what is sent is sent, and nothing else is known of it.

use std::time::Duration;

use snowpipe_streaming::emulator::{Emulator, Endpoint, Fault};

use crate::support::{Folder, TABLE, error, json, rows, run, stdout};

#[test]
fn an_elastic_load_stores_the_rows_before_a_bad_one() {
    let service = Emulator::builder().commit_delay(Duration::ZERO).start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", format!("{}\n[]\n{}", rows(1..=5), rows(6..=9)));
    let output = run(&mut folder.load(&[&file, "--json", "--elastic"]));
    assert!(error(&output, 4).starts_with(&format!("error: could not read line 7 of {file}: ")), "{output:?}");
    let summary = json(&output);
    assert_eq!((&summary["rows"], &summary["error"]["position"]), (&5.into(), &7.into()), "{summary}");
    let text = error(&output, 4);
    assert!(text.ends_with("; the first 5 rows are sent: loading the file again would double what is sent"), "{text}");
    assert_eq!(service.row_count(TABLE), 5);
}

#[test]
fn the_text_says_sent_and_where_rejected_rows_are() {
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("\"row 7\"");
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=9));
    let output = run(&mut folder.load(&[&file, "--elastic"]));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "9 rows sent, 1 request");
    assert!(lines[1].ends_with(" rows/s"), "{text}");
    assert_eq!(lines[2], "rejected rows are only in the table's error table; 0 retries, 0 renewals");
    assert_eq!(lines.len(), 3, "{text}");
}

#[test]
fn what_only_channels_have_is_refused() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=9));
    for refused in [
        vec!["--max-errors", "1"],
        vec!["--channel", "X"],
        vec!["--channels", "1"],
        vec!["--pipelined"],
        vec!["--plain-offsets"],
    ] {
        for arguments in [[&["--elastic"], &refused[..]].concat(), [&refused[..], &["--elastic"]].concat()] {
            let text = error(&run(folder.load(&[&file]).args(&arguments)), 2);
            assert!(text.contains(&format!("--elastic and {}: ", refused[0])), "{arguments:?}: {text}");
        }
    }
    assert!(service.requests().is_empty());
}

#[test]
fn a_failure_says_how_many_rows_are_sent_and_is_not_to_be_repeated() {
    for (fault, kind) in [
        (Fault::status(Endpoint::Elastic, 429).times(1000), "throttled"),
        (Fault::lose_reply(Endpoint::Elastic).times(1000), "unconfirmed"),
    ] {
        let service = Emulator::start().unwrap();
        // Two requests of four rows each, and nothing after them.
        service.inject(Fault::delay(Endpoint::Elastic, Duration::ZERO).times(2));
        service.inject(fault);
        let folder = Folder::new(&service);
        let file = folder.write("rows.ndjson", rows(11..=19));
        let arguments = [&file, "--elastic", "--json", "--batch-bytes", "110", "--retry-budget", "0"];
        let output = run(&mut folder.load(&arguments));
        let text = error(&output, 7);
        assert!(
            text.ends_with("; the first 8 rows are sent: loading the file again would double what is sent"),
            "{text}"
        );
        let summary = json(&output);
        let failure = &summary["error"];
        assert_eq!((&summary["rows_sent"], &summary["batches"]), (&8.into(), &2.into()), "{summary}");
        assert_eq!((&failure["kind"], &failure["retryable"]), (&kind.into(), &false.into()), "{summary}");
        assert_eq!(format!("error: {}", failure["message"].as_str().unwrap()), text);
    }
}

#[test]
fn a_failure_before_any_row_was_sent_may_be_repeated() {
    let service = Emulator::start().unwrap();
    service.inject(Fault::status(Endpoint::Elastic, 429).times(1000));
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=9));
    let output = run(&mut folder.load(&[&file, "--elastic", "--json", "--retry-budget", "0"]));
    assert!(!error(&output, 7).contains("are sent"), "{output:?}");
    assert_eq!(json(&output)["error"]["retryable"], true, "{output:?}");
}
