//! Each exit code of `snowpipe load`, provoked, with the kind of error that its summary names.

use std::process::Output;
use std::time::{Duration, Instant};

use snowpipe_streaming::emulator::{Emulator, Endpoint, Fault};

use crate::support::{Folder, TABLE, error, json, rows, run};

fn load(folder: &Folder, arguments: &[&str]) -> Output {
    run(folder.load(arguments).arg("--json"))
}

/// The error's text, after a look at exit code and kind.
fn refused(output: &Output, code: i32, kind: &str) -> String {
    let text = error(output, code);
    let summary = json(output);
    assert_eq!(summary["error"]["kind"], kind, "{summary}");
    assert_eq!(format!("error: {}", summary["error"]["message"].as_str().unwrap()), text);
    text
}

#[test]
fn all_that_is_committed_is_0() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=9));
    let output = load(&folder, &[&file]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(json(&output)["error"].is_null());
}

#[test]
fn what_cannot_be_opened_is_2_and_nothing_is_sent() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let missing = folder.path("missing.ndjson");
    assert!(refused(&load(&folder, &[&missing]), 2, "config").contains(&missing));
    assert!(refused(&load(&folder, &["--elastic", &missing]), 2, "config").contains(&missing));
    let file = folder.write("rows.ndjson", rows(1..=9));
    std::fs::remove_file(folder.path("profile.json")).unwrap();
    assert!(refused(&load(&folder, &[&file]), 2, "config").contains("profile.json"));
    assert!(service.requests().is_empty());
}

#[test]
fn rejected_rows_are_3_and_stay_3_until_they_are_allowed() {
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("\"row 7\"");
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=9));
    for (run, before) in [(1, 0), (0, 1), (0, 1)] {
        let output = load(&folder, &[&file]);
        assert!(refused(&output, 3, "not_stored").contains("1 row was rejected"), "{output:?}");
        let summary = json(&output);
        assert_eq!((&summary["rows"], &summary["rows_rejected"]), (&9.into(), &run.into()), "{summary}");
        assert_eq!(summary["rows_rejected_before"], before, "{summary}");
    }
    let allowed = load(&folder, &[&file, "--max-errors", "1"]);
    assert!(allowed.status.success() && json(&allowed)["error"].is_null(), "{allowed:?}");
    assert_eq!(service.row_count(TABLE), 8);
}

#[test]
fn a_bad_line_is_left_out_if_that_is_allowed_and_counted_by_every_run() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", format!("{}[]\n{}", rows(1..=5), rows(7..=9)));
    for skipped in [0, 8] {
        let output = load(&folder, &[&file, "--max-errors", "1"]);
        let summary = json(&output);
        assert!(output.status.success() && summary["error"].is_null(), "{output:?}");
        assert_eq!((&summary["rows"], &summary["skipped"]), (&8.into(), &skipped.into()), "{summary}");
        assert_eq!((&summary["bad_rows"], &summary["position"]), (&1.into(), &9.into()), "{summary}");
    }
    assert!(refused(&load(&folder, &[&file]), 4, "row").contains(&format!("read line 6 of {file}")));
    assert_eq!(service.rows(TABLE), (rows(1..=5) + &rows(7..=9)).as_bytes());
    let text = folder.load(&[&file, "--max-errors", "1"]).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains(" 0 in earlier runs, 1 left out, "));
}

#[test]
fn a_bad_line_is_4_and_the_rows_before_it_are_committed() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", format!("{}[]\n{}", rows(1..=5), rows(7..=9)));
    let output = load(&folder, &[&file]);
    assert!(refused(&output, 4, "row").contains(&format!("read line 6 of {file}")), "{output:?}");
    let summary = json(&output);
    assert_eq!((&summary["rows"], &summary["error"]["position"]), (&5.into(), &6.into()), "{summary}");
    assert_eq!(service.rows(TABLE), rows(1..=5).as_bytes());
}

#[test]
fn another_source_under_a_used_channel_is_5() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let monday = folder.write("monday.ndjson", rows(1..=5));
    let tuesday = folder.write("tuesday.ndjson", rows(11..=18));
    let nightly = |file: &str| load(&folder, &[file, "--channel", "NIGHTLY"]);
    assert!(nightly(&monday).status.success());
    let output = nightly(&tuesday);
    assert!(refused(&output, 5, "conflict").contains("another source"), "{output:?}");
    let summary = json(&output);
    assert_eq!((&summary["channel"], &summary["rows_sent"]), (&"NIGHTLY".into(), &0.into()), "{summary}");
    assert_eq!(service.rows(TABLE), rows(1..=5).as_bytes());
}

#[test]
fn a_key_of_somebody_else_is_6() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let profile = std::fs::read_to_string(folder.path("profile.json")).unwrap();
    folder.profile(&profile.replace("key.p8", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/plain.p8")));
    let file = folder.write("rows.ndjson", rows(1..=9));
    let output = load(&folder, &[&file]);
    refused(&output, 6, "credentials");
    let told = &json(&output)["error"];
    assert_eq!((&told["status"], &told["code"]), (&401.into(), &"390144".into()), "{told}");
}

#[test]
fn an_outage_beyond_the_retry_budget_is_7_and_a_rerun_goes_on() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=9));
    // More often than a budget of two seconds allows.
    service.inject(Fault::status(Endpoint::Open, 503).times(1000));
    for budget in ["0", "2"] {
        let output = load(&folder, &[&file, "--retry-budget", budget]);
        refused(&output, 7, "unavailable");
        let told = &json(&output)["error"];
        assert_eq!((&told["status"], &told["retryable"]), (&503.into(), &true.into()), "{told}");
        assert!(told["request_id"].is_string(), "{told}");
        assert_eq!(json(&output)["retries"].as_u64() > Some(0), budget != "0", "{output:?}");
    }
    service.clear_faults();
    assert!(load(&folder, &[&file]).status.success());
    assert_eq!(service.rows(TABLE), rows(1..=9).as_bytes());
}

#[test]
fn rows_of_an_earlier_run_that_are_not_committed_are_7_within_the_timeout() {
    let service = Emulator::start().unwrap();
    service.hold_commits(true);
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=9));
    let arguments = [&file, "--commit-timeout", "1", "--retry-budget", "2"];
    let output = load(&folder, &arguments);
    refused(&output, 7, "timeout");
    let began = Instant::now();
    let output = load(&folder, &arguments);
    let text = refused(&output, 7, "timeout");
    // Far less than the two minutes for which opening waits by itself.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(text.contains("could not open channel rows-") && text.contains("; run it again: "), "{text}");
    assert_eq!(json(&output)["error"]["retryable"], true);
    service.hold_commits(false);
    assert!(load(&folder, &[&file]).status.success());
    assert_eq!(service.rows(TABLE), rows(1..=9).as_bytes());
}
