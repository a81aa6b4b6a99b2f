//! Rows that an earlier run has passed: checked again, counted again, handed over again.

use super::*;

#[test]
fn a_rerun_counts_and_hands_over_the_rows_before_the_committed_one_again() {
    // A file that begins with a bracket is refused as an array.
    let bad = [2, 20, 21, 60];
    let text = spoilt(60, &bad);
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            // The last row is left out too, so nothing that is committed comes after it.
            for (skipped, sent) in [(0, 56), (56, 0)] {
                let (handed_over, outcome, _) = load(&service, mode, 4, source());
                let report = outcome.unwrap();
                assert_eq!((report.rows, report.skipped, report.rows_sent, report.bad_rows), (56, skipped, sent, 4));
                assert_eq!(positions(&handed_over), bad);
            }
            assert_eq!(landed(&service), without(60, &bad));
        });
    });
}

#[test]
fn a_rerun_that_allows_less_ends_at_the_row_and_appends_nothing() {
    let text = spoilt(60, &[10, 20, 59]);
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            load(&service, mode, 3, source()).1.unwrap();
            let before = tokens(&service);
            for (max_errors, position) in [(0, 10), (1, 20), (2, 59)] {
                let (handed_over, outcome, report) = load(&service, mode, max_errors, source());
                let error = outcome.unwrap_err();
                assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(position)));
                assert!(
                    error.to_string().contains("leave the source as it is: allow so many with max_errors"),
                    "{error}"
                );
                assert_eq!((report.bad_rows, handed_over.len() as u64), (max_errors, max_errors));
            }
            let grown = text.clone() + &row(61) + "\n";
            assert_eq!(load(&service, mode, 2, reader(&grown)).1.unwrap_err().position(), Some(59));
            assert_eq!(tokens(&service), before);
            let report = load(&service, mode, 3, reader(&grown)).1.unwrap();
            assert_eq!((report.rows, report.skipped, report.bad_rows), (58, 57, 3));
        });
    });
}

#[test]
fn values_that_an_earlier_run_left_out_need_their_allowance_again() {
    let values = || Source::rows((1..=9).map(|id| if id % 4 == 0 { json!(id) } else { json!({ "ID": id }) }));
    each_mode(|mode, _| {
        let service = Emulator::start().unwrap();
        load(&service, mode, 2, values()).1.unwrap();
        let before = tokens(&service);
        let (handed_over, outcome, _) = load(&service, mode, 1, values());
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.position(), positions(&handed_over)), (ErrorKind::Row, Some(8), vec![4]));
        assert!(error.to_string().contains("could not read row 8: "), "{error}");
        assert_eq!(tokens(&service), before);
        let report = load(&service, mode, 2, values()).1.unwrap();
        assert_eq!((report.rows, report.skipped, report.bad_rows), (7, 7, 2));
    });
}

#[test]
fn a_channel_of_another_source_is_told_before_a_row_that_is_bad() {
    let other = spoilt(60, &[30]).replace("row 1\"", "row one\"");
    each_text(other.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            load(&service, mode, 0, reader(rows(1..=60))).1.unwrap();
            let (_, outcome, _) = load(&service, mode, 0, source());
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Conflict);
            let (_, outcome, _) = load(&service, mode, 0, reader(spoilt(40, &[30])));
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Conflict, "the source ends before the committed row");
            assert_eq!(landed(&service), rows(1..=60));
        });
    });
}

#[test]
fn a_changed_bad_row_is_another_source() {
    each_mode(|mode, _| {
        let service = Emulator::start().unwrap();
        let text = spoilt(60, &[30]);
        load(&service, mode, 1, reader(&text)).1.unwrap();
        for changed in [text.replace("[30]", "[31]"), text.replace("[30]\n", "\n"), rows(1..=60)] {
            assert_eq!(load(&service, mode, 1, reader(&changed)).1.unwrap_err().kind(), ErrorKind::Conflict);
        }
        // Blanks around it are none of it.
        load(&service, mode, 1, reader(text.replace("[30]\n", " [30]\t\r\n"))).1.unwrap();
    });
}

#[test]
fn what_a_trusting_run_has_sent_is_checked_when_another_does_not_trust() {
    let first = "{\"ID\": }\n".to_string();
    let all = first.clone() + &rows(2..=100);
    each_text(all.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            let report = load(&service, mode, 1, reader(&first).trusted()).1.unwrap();
            assert_eq!((report.rows, report.rows_rejected), (1, 1));
            let (handed_over, outcome, _) = load(&service, mode, 2, source());
            let report = outcome.unwrap();
            assert_eq!((report.bad_rows, report.rows_rejected_before, positions(&handed_over)), (1, 1, vec![1]));
            assert_eq!(landed(&service), rows(2..=100));
        });
    });
}
