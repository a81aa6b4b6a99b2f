//! Every row of the error table of specs/protocol.md, provoked during an append: what a channel is told, and that a load
//! lands every row once all the same, or ends in a clear error with nothing lost or doubled.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{ErrorKind, Loader, Pipe, Source};

use crate::support::{batch, builder_of, landed, rows};

/// What the service answers, and what becomes of it.
struct Row {
    status: u16,
    body: &'static str,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The same request is sent again and gets through.
    Repeated,
    /// The token is renewed and the request gets through.
    Renewed,
    /// The channel must be reopened; a load does so and goes on.
    Reopened,
    /// An error for the channel, which has the rows of its caller; a load sends them in two requests.
    Halved,
    /// An error of this kind, for the channel and for a load; a later run completes it.
    Told(ErrorKind),
}

const TABLE: [Row; 33] = [
    Row { status: 400, body: r#"{"code":"ERR_INVALID_OFFSET","message":"bad"}"#, end: End::Told(ErrorKind::Refused) },
    Row { status: 400, body: r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER","message":"m"}"#, end: End::Reopened },
    Row { status: 401, body: "", end: End::Renewed },
    Row { status: 401, body: r#"{"code":"390318","message":"OAuth access token expired."}"#, end: End::Renewed },
    Row { status: 403, body: r#"{"code":"390318","message":"OAuth access token expired."}"#, end: End::Renewed },
    Row { status: 403, body: r#"{"message":"Insufficient privileges"}"#, end: End::Told(ErrorKind::Credentials) },
    Row {
        status: 404,
        body: r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#,
        end: End::Told(ErrorKind::Refused),
    },
    Row {
        status: 404,
        body: r#"{"error_code":"ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED"}"#,
        end: End::Told(ErrorKind::Refused),
    },
    Row {
        status: 403,
        body: r#"{"code":"ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#,
        end: End::Told(ErrorKind::Refused),
    },
    Row { status: 404, body: r#"{"code":"ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED"}"#, end: End::Reopened },
    Row { status: 404, body: r#"{"code":"ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#, end: End::Reopened },
    Row { status: 404, body: "<html>Not Found</html>", end: End::Repeated },
    Row { status: 408, body: "", end: End::Repeated },
    Row { status: 409, body: r#"{"code":"ERR_PIPE_IN_INVALID_STATE"}"#, end: End::Told(ErrorKind::Refused) },
    Row { status: 409, body: r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED"}"#, end: End::Reopened },
    Row { status: 409, body: r#"{"code":"ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP"}"#, end: End::Reopened },
    Row { status: 409, body: r#"{"code":"ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER"}"#, end: End::Reopened },
    Row { status: 409, body: r#"{"code":"ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER"}"#, end: End::Reopened },
    Row { status: 409, body: "", end: End::Reopened },
    Row { status: 410, body: "moved", end: End::Renewed },
    Row { status: 413, body: "", end: End::Halved },
    Row { status: 415, body: "", end: End::Told(ErrorKind::Refused) },
    Row { status: 429, body: "", end: End::Repeated },
    Row { status: 429, body: r#"{"code":"ReceiverSaturated"}"#, end: End::Repeated },
    Row { status: 499, body: "", end: End::Repeated },
    Row { status: 500, body: r#""ERR_GENERAL_EXCEPTION_RETRY_REQUEST""#, end: End::Repeated },
    Row { status: 503, body: r#"{"code":"ERR_GENERAL_EXCEPTION_RETRY_REQUEST"}"#, end: End::Repeated },
    Row { status: 502, body: "<html>Bad Gateway</html>", end: End::Repeated },
    Row { status: 504, body: "", end: End::Repeated },
    Row { status: 500, body: r#"{"code":"STALE_PIPE_CACHE"}"#, end: End::Reopened },
    Row { status: 400, body: r#"{"code":"STALE_PIPE_CACHE"}"#, end: End::Reopened },
    Row { status: 400, body: r#"{"error":"ERR_PIPE_KIND_NOT_SUPPORTED"}"#, end: End::Told(ErrorKind::Refused) },
    Row { status: 302, body: "", end: End::Told(ErrorKind::Protocol) },
];

impl Row {
    fn fault(&self) -> Fault {
        Fault::status(Endpoint::Append, self.status).body(self.body)
    }

    fn name(&self) -> String {
        format!("{} {}", self.status, self.body)
    }
}

fn pipe(service: &Emulator) -> Pipe {
    builder_of(service).retry_pause(Duration::from_millis(2)).build().unwrap().table("DEMO", "PUBLIC", "EVENTS")
}

#[test]
fn a_channel_is_told_what_each_answer_means() {
    for row in &TABLE {
        let service = Emulator::start().unwrap();
        let mut channel = pipe(&service).channel("c").open().unwrap();
        service.inject(row.fault());
        let result = channel.append(&batch(1..=10));
        let expected = match row.end {
            End::Repeated | End::Renewed | End::Halved => None,
            End::Reopened => Some(ErrorKind::Channel),
            End::Told(kind) => Some(kind),
        };
        assert_eq!(result.as_ref().err().map(|error| error.kind()), expected, "{}: {result:?}", row.name());
        if let Err(error) = result {
            assert_eq!(error.status(), Some(row.status), "{}", row.name());
            assert!(error.to_string().contains("; "), "{}: no advice in {error}", row.name());
            // The response told that nothing was applied: reopened, the channel has nothing.
            channel.reopen().unwrap();
            assert_eq!(channel.committed_offset(), None, "{}", row.name());
            channel.append(&batch(1..=10)).unwrap();
        }
        channel.wait_for_commit(10, Duration::from_secs(20)).unwrap();
        assert_eq!(landed(&service), rows(1..=10), "{}", row.name());
    }
}

#[test]
fn a_load_lands_every_row_once_whatever_the_answer() {
    let text = rows(1..=60);
    for row in &TABLE {
        let service = Emulator::start().unwrap();
        let pipe = pipe(&service);
        let mut batches = 0;
        let mut loader = Loader::new(&pipe, "load-1").batch_bytes(300).on_progress(|report| {
            // Somewhere in the middle.
            if report.batches == 2 && batches != 2 {
                service.inject(row.fault());
            }
            batches = report.batches;
        });
        let result = loader.load(Source::reader("text", text.as_bytes()));
        let report = loader.report().clone();
        drop(loader);
        match row.end {
            End::Repeated => assert_eq!((result.unwrap().retries, report.reopens), (1, 0), "{}", row.name()),
            End::Renewed => assert_eq!((result.unwrap().renewals, report.reopens), (1, 0), "{}", row.name()),
            End::Reopened => assert_eq!(result.unwrap().reopens, 1, "{}", row.name()),
            End::Halved => assert_eq!((result.unwrap().rows, report.reopens), (60, 0), "{}", row.name()),
            End::Told(kind) => assert_eq!(result.unwrap_err().kind(), kind, "{}", row.name()),
        }
        assert!(text.starts_with(&landed(&service)), "{}: a gap, or a row twice", row.name());
        let report = Loader::new(&pipe, "load-1").load(Source::reader("text", text.as_bytes())).unwrap();
        assert_eq!((report.rows, landed(&service)), (60, text.clone()), "{}", row.name());
    }
}

#[test]
fn elastic_is_told_what_each_answer_means() {
    for row in &TABLE {
        let service = Emulator::start().unwrap();
        let elastic = pipe(&service).elastic();
        service.inject(Fault::status(Endpoint::Elastic, row.status).body(row.body));
        let result = elastic.append(&batch(1..=10));
        let expected = match row.end {
            End::Repeated | End::Renewed | End::Halved => None,
            End::Reopened => Some(ErrorKind::Channel),
            End::Told(kind) => Some(kind),
        };
        assert_eq!(result.as_ref().err().map(|error| error.kind()), expected, "{}: {result:?}", row.name());
        let sent = service.requests().into_iter().filter(|request| request.path.ends_with("/rows"));
        let counts: Vec<_> =
            sent.map(|request| request.query.split("retryCount=").nth(1).unwrap().to_string()).collect();
        let expected: &[&str] = match row.end {
            End::Repeated | End::Renewed => &["0", "1"],
            // The whole, and its halves.
            End::Halved => &["0", "0", "0"],
            End::Reopened | End::Told(_) => &["0"],
        };
        assert_eq!(counts, expected, "{}", row.name());
    }
}

#[test]
fn a_channel_that_becomes_unusable_is_noticed_while_waiting() {
    for code in ["ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED", "ERR_CHANNEL_NO_LONGER_EXISTS", "ERR_ANYTHING"] {
        let service = Emulator::start().unwrap();
        let mut channel = pipe(&service).channel("c").open().unwrap();
        service.hold_commits(true);
        channel.append(&batch(1..=10)).unwrap();
        let status = format!(
            r#"{{"channel_statuses":{{"c":{{"channel_status_code":"{code}"}},"C":{{"channel_status_code":"{code}"}}}}}}"#
        );
        service.inject(Fault::status(Endpoint::Status, 200).body(status));
        let error = channel.wait_for_commit(10, Duration::from_secs(20)).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Channel, Some(code)));
    }
}

#[test]
fn an_open_that_answers_200_with_an_unusable_channel_is_refused() {
    let service = Emulator::start().unwrap();
    let body = r#"{"next_continuation_token":"0_1","channel_status":{"channel_status_code":"ERR_PIPE_INVALID"}}"#;
    service.inject(Fault::status(Endpoint::Open, 200).body(body));
    let error = pipe(&service).channel("c").open().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some("ERR_PIPE_INVALID")));
}
