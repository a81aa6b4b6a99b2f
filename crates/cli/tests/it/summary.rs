//! The summary of `snowpipe load`: as JSON for programs, in every case; as text for a person.

use snowpipe_streaming::emulator::{Emulator, Endpoint, Fault};

use crate::support::{Folder, error, json, row, rows, run, snowpipe, stdout};

const KEYS: &str = "bad_rows batches bytes_sent channel channels commit_lag_seconds committed_offset error file pipe position renewals \
                    reopens retries rows rows_per_second rows_rejected rows_rejected_before rows_sent seconds skipped table";
const ERROR_KEYS: &str = "code kind message position request_id retryable status";

fn keys(object: &serde_json::Value) -> String {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

#[test]
fn a_load_and_its_rerun_are_summed_up() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=100));
    let load = |more: &[&str]| json(&run(folder.load(&[&file, "--json"]).args(more)));
    let mut first = load(&["--batch-bytes", "1000", "--channel", "X"]);
    assert_eq!(keys(&first), KEYS);
    for key in ["seconds", "rows_per_second", "commit_lag_seconds"] {
        assert!(first.as_object_mut().unwrap().remove(key).unwrap().as_f64().unwrap() > 0.0, "{key}");
    }
    let bytes = rows(1..=100).len();
    let expected = serde_json::json!({
        "rows": 100, "skipped": 0, "rows_sent": 100, "batches": 3, "bytes_sent": bytes,
        "committed_offset": "100-39ca0388", "position": 100, "rows_rejected": 0, "rows_rejected_before": 0, "bad_rows": 0,
        "retries": 0, "renewals": 0, "reopens": 0, "file": file, "table": "DEMO.PUBLIC.FLIGHTS",
        "pipe": "FLIGHTS-STREAMING", "channel": "X", "channels": 1, "error": null,
    });
    assert_eq!(first, expected);

    let again = load(&["--channel", "X"]);
    for (key, value) in [("rows", 100), ("skipped", 100), ("rows_sent", 0), ("batches", 0), ("position", 100)] {
        assert_eq!(again[key], value, "{key} of {again}");
    }
    assert_eq!(service.rows("DEMO.PUBLIC.FLIGHTS"), rows(1..=100).as_bytes());
}

#[test]
fn several_channels_and_elastic_have_no_offset_of_their_own() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=100));
    let load = |more: &[&str]| json(&run(folder.load(&[&file, "--json"]).args(more)));
    let several = load(&["--channels", "2", "--channel", "X", "--table", "A.B.\"t\""]);
    let elastic = load(&["--elastic", "--pipe", "T-STREAMING", "--table", "A.B.T"]);
    for (summary, table, pipe, channel, channels) in [
        (&several, "A.B.\"t\"", "\"t-STREAMING\"", "X".into(), 2),
        (&elastic, "A.B.T", "T-STREAMING", serde_json::Value::Null, 0),
    ] {
        assert_eq!(keys(summary), KEYS);
        assert!(summary["committed_offset"].is_null() && summary["position"].is_null(), "{summary}");
        assert_eq!((&summary["rows"], &summary["rows_sent"]), (&100.into(), &100.into()), "{summary}");
        assert_eq!((&summary["table"], &summary["pipe"]), (&table.into(), &pipe.into()), "{summary}");
        assert_eq!((&summary["channel"], &summary["channels"]), (&channel, &channels.into()), "{summary}");
    }
}

#[test]
fn what_fails_before_the_load_is_summed_up_too() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=3));
    let missing = "/no/such/file".to_string();
    for (arguments, told) in [
        (vec!["--json", "--bathc-bytes", "5"], None),
        (vec!["--table", "A.B", "--json"], None),
        (vec![&file, "--json", "--emulator"], Some(&file)),
        (vec![&file, "--channel", "--json"], Some(&file)),
        (vec![&file, "--json", "--profile", "/no/such/profile"], Some(&file)),
        (vec!["/no/such/file", "--json"], Some(&missing)),
        (vec![&file, "--json", "--channels", "5000"], Some(&file)),
    ] {
        let output = run(&mut folder.load(&arguments));
        error(&output, 2);
        let summary = json(&output);
        assert_eq!(keys(&summary), KEYS);
        assert_eq!(keys(&summary["error"]), ERROR_KEYS);
        assert_eq!(summary["error"]["kind"], "config");
        assert_eq!(summary["file"].as_str(), told.map(String::as_str), "{summary}");
        let figures = ["rows", "skipped", "rows_sent", "batches", "bytes_sent", "rows_rejected", "retries", "reopens"];
        assert!(figures.iter().all(|key| summary[key] == 0), "{summary}");
        assert_eq!(summary["seconds"], 0.0);
    }
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_utf_8_is_summed_up_too() {
    let argument = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff.ndjson");
    let output = run(snowpipe(&["load", "--json"]).arg(argument));
    assert!(error(&output, 2).contains("not UTF-8"));
    assert_eq!(json(&output)["error"]["kind"], "config");
}

#[test]
fn the_text_calls_stored_what_is_stored_and_names_the_rejected_rows_of_each_run() {
    let service = Emulator::start().unwrap();
    service.reject_rows_containing("\"row 7\"");
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=9));
    let load = |stored: &str, rejected: &str| {
        let output = run(&mut folder.load(&[&file]));
        error(&output, 3);
        let text = stdout(&output);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with(stored) && lines[2].starts_with(rejected), "{text}");
    };
    load("8 rows stored (0 of them before), offset 9-", "1 row rejected, 0 in earlier runs, ");
    load("8 rows stored (8 of them before), offset 9-", "0 rows rejected, 1 in earlier runs, ");
    std::fs::write(&file, rows(1..=9) + &row(77) + "\n" + &row(7) + "\n").unwrap();
    load("9 rows stored (8 of them before), offset 11-", "1 row rejected, 1 in earlier runs, ");
}

#[test]
fn one_of_a_kind_is_counted_in_the_singular() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let file = folder.write("rows.ndjson", rows(1..=1));
    let text = stdout(&run(&mut folder.load(&[&file])));
    assert!(text.starts_with("1 row stored (0 of them before), offset 1-21d5bdfa, 1 request\n"), "{text}");
    service.inject(Fault::status(Endpoint::Elastic, 429));
    let text = stdout(&run(&mut folder.load(&[&file, "--elastic"])));
    assert!(text.starts_with("1 row sent, 1 request\n") && text.contains("; 1 retry, 0 renewals\n"), "{text}");
    let text = stdout(&run(snowpipe(&["load", "--emulator"]).arg(&file)));
    assert!(text.contains("in DEMO.PUBLIC.FLIGHTS of the embedded emulator: 1 row\n"), "{text}");
}
