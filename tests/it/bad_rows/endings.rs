//! How a load ends because of bad rows: by the allowance, the callback, or what is never left out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn as_many_as_are_allowed_are_left_out_and_the_next_one_ends_the_load() {
    let bad = [20, 40, 60];
    let text = spoilt(80, &bad);
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            let (handed_over, outcome, report) = load(&service, mode, 2, source());
            let error = outcome.unwrap_err();
            assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(60)));
            let said = "the row is not a JSON object, whose names are the columns; correct the line, or leave it empty: the \
                        lines after it must keep their numbers; 2 bad rows were left out before it, as many as max_errors \
                        allows";
            assert!(error.to_string().ends_with(said), "{error}");
            assert_eq!((report.bad_rows, report.rows, positions(&handed_over)), (2, 57, vec![20, 40]));
            assert_eq!(landed(&service), rows((1..60).filter(|id| !bad.contains(id))));
            let report = load(&service, mode, 3, source()).1.unwrap();
            assert_eq!((report.bad_rows, report.rows, report.rows_sent), (3, 77, 20));
            assert_eq!(landed(&service), without(80, &bad));
        });
    });
}

#[test]
fn several_channels_share_one_allowance() {
    let bad = [500, 1500, 2500];
    each_text(spoilt(3_000, &bad).as_bytes(), |source| {
        let service = Emulator::start().unwrap();
        let three = |loader: Loader<'static>| loader.channels(3).batch_bytes(20_000);
        let (handed_over, outcome, report) = load(&service, &three, 2, source());
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), report.bad_rows, handed_over.len()), (ErrorKind::Row, 2, 2));
        assert!(error.to_string().contains("2 bad rows were left out before it"), "{error}");
        let (handed_over, outcome, _) = load(&service, &three, 3, source());
        let mut found = positions(&handed_over);
        found.sort_unstable();
        assert_eq!((found, outcome.unwrap().bad_rows), (bad.to_vec(), 3));
        let mut lines: Vec<_> = landed(&service).lines().map(str::to_string).collect();
        let mut expected: Vec<_> = without(3_000, &bad).lines().map(str::to_string).collect();
        lines.sort();
        expected.sort();
        assert!(lines == expected, "{} rows", lines.len());
    });
}

#[test]
fn a_row_that_cannot_be_handed_over_is_not_left_out() {
    let text = spoilt(80, &[20, 40]);
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            // Going back, the load comes to the row again.
            service.inject(Fault::status(Endpoint::Append, 409).times(1));
            let mut calls = 0;
            let mut loader = mode(loader(&pipe_of(&service))).max_errors(9).on_bad_row(move |row| {
                calls += 1;
                assert!(calls <= 2, "no row is handed over twice");
                if row.position() == 40 { Err(std::io::Error::other("no room on the disk")) } else { Ok(()) }
            });
            let error = loader.load(source()).unwrap_err();
            assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(40)));
            assert!(error.to_string().contains("handing it over failed (no room on the disk)"), "{error}");
            assert_eq!((loader.report().bad_rows, landed(&service)), (1, rows((1..40).filter(|id| *id != 20))));
        });
    });
}

#[test]
fn a_panic_of_the_callback_goes_on_and_what_was_sent_stays() {
    let text = spoilt(3_000, &[1_500]);
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            let mut loader = mode(loader(&pipe_of(&service)))
                .max_errors(9)
                .on_bad_row(|row| panic!("row {} is bad, as the test wants", row.position()));
            let panic = catch_unwind(AssertUnwindSafe(|| loader.load(source()))).unwrap_err();
            assert_eq!(*panic.downcast::<String>().unwrap(), "row 1500 is bad, as the test wants");
            drop(loader);
            let report = load(&service, mode, 1, source()).1.unwrap();
            assert_eq!((report.rows, report.bad_rows), (2_999, 1));
            assert_eq!(landed(&service).lines().count(), 2_999);
        });
    });
}

#[test]
fn a_last_line_without_line_break_is_never_left_out_unless_it_is_complete() {
    let whole = format!("{{\"A\":\"{}\"}}", incompressible());
    for (last, is_left_out) in [("{\"A\":", false), ("[4]", false), (&*whole, true)] {
        each_text(format!("{}{last}", rows(1..=3)).as_bytes(), |source| {
            each_mode(|mode, _| {
                for trusted in [false, true] {
                    let service = Emulator::start().unwrap();
                    let of_kind = if trusted { source().trusted() } else { source() };
                    let (handed_over, outcome, report) = load(&service, mode, 9, of_kind);
                    assert_eq!((report.bad_rows, handed_over.len()), (is_left_out.into(), is_left_out.into()));
                    match outcome {
                        Ok(_) => assert!(is_left_out),
                        Err(error) => assert!(error.to_string().contains("it has no line break"), "{error}"),
                    }
                    assert_eq!(landed(&service), rows(1..=3));
                }
            });
        });
    }
}

#[test]
fn what_is_not_read_to_its_end_is_never_left_out() {
    let text = format!("{}{{\"A\":\"{}\"}}\n{}", rows(1..=3), "x".repeat(17_000_000), rows(5..=7));
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            let (handed_over, outcome, report) = load(&service, mode, 9, source());
            let error = outcome.unwrap_err();
            assert_eq!((error.kind(), error.position()), (ErrorKind::Row, Some(4)));
            assert!(error.to_string().contains("it is longer than 16000000 bytes"), "{error}");
            assert_eq!((report.bad_rows, handed_over.len(), landed(&service)), (0, 0, rows(1..=3)));
        });
    });
}

#[test]
fn a_source_that_fails_is_no_bad_row() {
    each_mode(|mode, _| {
        let service = Emulator::start().unwrap();
        let given = (1..=5u64).map(|id| match id {
            2 => Ok(json!([2])),
            4 => Err(std::io::Error::other("cursor gone")),
            _ => Ok(json!({ "ID": id })),
        });
        let (handed_over, outcome, _) = load(&service, mode, 9, Source::try_rows(given));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Source);
        assert_eq!((positions(&handed_over), landed(&service)), (vec![2], "{\"ID\":1}\n{\"ID\":3}\n".into()));
    });
}

#[test]
fn rejected_rows_and_left_out_ones_count_together() {
    let text = spoilt(20, &[5, 15]);
    each_text(text.as_bytes(), |source| {
        each_mode(|mode, _| {
            let service = Emulator::start().unwrap();
            service.reject_rows_containing("7\"");
            let (_, outcome, report) = load(&service, mode, 3, source());
            let error = outcome.unwrap_err();
            assert_eq!((error.kind(), error.rows_rejected()), (ErrorKind::NotStored, 2));
            let said = error.to_string();
            assert!(said.contains("all is committed, but 2 rows were rejected"), "{error}");
            assert!(
                said.ends_with(
                    "2 more left out, of 3 allowed together; max_errors allows them once they are dealt with"
                )
            );
            assert_eq!((report.bad_rows, report.rows_rejected), (2, 2));
            let error = load(&service, mode, 3, source()).1.unwrap_err();
            assert!(error.to_string().contains("2 of them in earlier runs, 2 more left out, of 3"), "{error}");
            let report = load(&service, mode, 4, source()).1.unwrap();
            assert_eq!((report.bad_rows, report.rows_rejected_before, report.rows), (2, 2, 18));
        });
    });
}
