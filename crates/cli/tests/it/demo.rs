//! `snowpipe demo`, the first thing a newcomer runs.

use crate::support::{error, json, run, snowpipe, stdout};

#[test]
fn the_sample_lands_and_is_shown_in_lines_that_fit_a_terminal() {
    let output = run(&mut snowpipe(&["demo"]));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "10000 rows stored (0 of them before), offset 10000-837fff81, 1 request");
    assert!(lines[1].contains(" s, ") && lines[1].ends_with(" rows/s"), "{text}");
    assert_eq!(lines[2], "0 rows rejected, 0 in earlier runs, 0 left out, 0 retries, 0 renewals, 0 reopens");
    assert_eq!(lines[3], "in DEMO.PUBLIC.FLIGHTS of the embedded emulator: 10000 rows");
    assert!(lines[4].starts_with(r#"the first: {"YEAR":2013,"MONTH":1,"#) && lines[4].ends_with('…'), "{text}");
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn the_summary_is_one_line_of_json() {
    let summary = json(&run(&mut snowpipe(&["demo", "--json"])));
    for (key, value) in [("rows", 10_000), ("rows_landed", 10_000), ("skipped", 0), ("rows_rejected", 0)] {
        assert_eq!(summary[key], value, "{key} of {summary}");
    }
}

#[test]
fn another_argument_is_an_error() {
    assert!(error(&run(&mut snowpipe(&["demo", "--jsn"])), 2).contains("--json"));
}

#[test]
fn the_bundled_sample_is_that_of_the_examples() {
    let read = |path: &str| std::fs::read(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let is_same = read("data/flights.ndjson") == read("../../examples/data/flights.ndjson");
    assert!(is_same, "copy examples/data/flights.ndjson to crates/cli/data");
}
