//! What goes over the wire, literally.

use std::time::Duration;

use snowpipe_streaming::{Batch, Client, Credentials, ErrorKind};

use crate::support::{Scripted, batch, row, rows};

const PIPE: &str = "/v2/streaming/databases/db/schemas/%22My%20Schema%22/pipes/events-STREAMING";
const DATA: &str = "/v2/streaming/data/databases/db/schemas/%22My%20Schema%22/pipes/events-STREAMING";

#[test]
fn a_login_asks_for_the_host_then_for_a_token_bound_to_it() {
    let service = Scripted::start();
    let client = service.builder().role("INGEST").build().unwrap();
    assert!(service.seen().is_empty(), "building sends nothing");
    client.table("DB", "S", "T").channel("c").open().unwrap();

    let seen = service.seen();
    assert_eq!(seen.len(), 3);
    let (host, token, open) = (&seen[0], &seen[1], &seen[2]);

    assert_eq!((host.method.as_str(), host.path.as_str()), ("GET", "/v2/streaming/hostname"));
    assert_eq!(host.header("authorization"), Some("Bearer login-token"));
    assert_eq!(host.header("x-snowflake-authorization-token-type"), Some("OAUTH"));
    assert_eq!(host.header("accept"), Some("application/json"));
    assert_eq!(host.header("content-type"), None);

    assert_eq!((token.method.as_str(), token.path.as_str()), ("POST", "/oauth/token"));
    assert_eq!(token.header("authorization"), Some("Bearer login-token"));
    assert_eq!(token.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        String::from_utf8_lossy(&token.body),
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
         &scope=127.0.0.1+session%3Arole%3AINGEST\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
    );

    assert_eq!(open.header("authorization"), Some("Bearer scoped-token-2"));
    assert_eq!(open.header("x-snowflake-authorization-token-type"), Some("OAUTH"));
}

#[test]
fn each_kind_of_login_token_is_exchanged_in_its_own_form() {
    let jwt_bearer = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=127.0.0.1";
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&scope=127.0.0.1\
                    &subject_token_type=programmatic_access_token";
    for (credentials, kind, form) in [
        (Credentials::jwt("e30.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln"), "KEYPAIR_JWT", jwt_bearer),
        (Credentials::programmatic_access_token("login-token"), "PROGRAMMATIC_ACCESS_TOKEN", exchange),
    ] {
        let service = Scripted::start();
        Client::builder("testorg-acct", credentials).url(service.url()).build().unwrap().token().unwrap();
        let token = &service.seen_at("token")[0];
        assert_eq!(token.header("x-snowflake-authorization-token-type"), Some(kind));
        assert_eq!(String::from_utf8_lossy(&token.body), form);
    }
}

#[test]
fn every_call_carries_a_request_id_of_its_own_and_a_retry_count() {
    let service = Scripted::start();
    let pipe = service.pipe();
    let mut channel = pipe.channel("load-1").open().unwrap();
    channel.append(&batch(1..=2)).unwrap();
    pipe.statuses(&["load-1"]).unwrap();
    pipe.drop_channel("load-1").unwrap();
    let seen = service.seen();
    let mut ids: Vec<_> = seen.iter().map(|seen| seen.query("requestId").unwrap()).collect();
    assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert!(seen.iter().all(|seen| seen.query("retryCount") == Some("0")));
}

#[test]
fn an_open_says_that_uncommitted_rows_are_not_to_be_discarded() {
    let service = Scripted::start();
    service.pipe().channel("load/1").open().unwrap();
    service.pipe().channel("load/1").discard_uncommitted().open().unwrap();
    let opens = service.seen_at("open");
    assert_eq!((opens[0].method.as_str(), opens[0].path.as_str()), ("PUT", &*format!("{PIPE}/channels/load%2F1")));
    assert_eq!(opens[0].header("content-type"), Some("application/json"));
    assert_eq!(opens[0].text(), r#"{"fail_on_uncommitted_rows":true}"#);
    assert_eq!(opens[1].text(), r#"{"fail_on_uncommitted_rows":false}"#);
}

#[cfg(feature = "zstd")]
#[test]
fn an_append_carries_compressed_lines_and_the_tokens_of_its_ends() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    assert_eq!(channel.name(), "LOAD-1", "as the service spells it");
    channel.append(&batch(5..=7)).unwrap();
    let mut second = Batch::new();
    second.push_json(row(8).as_bytes()).unwrap();
    second.mark("a&b=c");
    channel.append(&second).unwrap();

    let appends = service.seen_at("rows");
    let (first, second) = (&appends[0], &appends[1]);
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", &*format!("{DATA}/channels/load-1/rows")));
    assert_eq!(first.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(first.header("content-encoding"), Some("zstd"));
    assert_eq!(first.header("x-snowflake-uncompressed-content-length"), Some(&*rows(5..=7).len().to_string()));
    assert_eq!(first.header("content-length"), Some(&*first.body.len().to_string()));
    assert_eq!(first.header("expect"), None);
    assert_eq!(first.text(), rows(5..=7));
    assert_eq!(first.query("continuationToken"), Some("0_1"));
    assert_eq!(first.query("startOffsetToken"), Some("5"));
    assert_eq!(first.query("endOffsetToken"), Some("7"));
    assert_eq!(first.query("offsetToken"), None);

    assert_eq!(second.query("continuationToken"), Some("0_2"), "from the response before");
    assert_eq!(second.query("endOffsetToken"), Some("a&b=c"));
}

#[test]
fn an_append_without_tokens_or_rows_sends_none() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    channel.append(&Batch::new()).unwrap();
    assert!(service.seen_at("rows").is_empty());
    let mut unmarked = Batch::new();
    unmarked.push_json(b"{}").unwrap();
    channel.append(&unmarked).unwrap();
    let append = &service.seen_at("rows")[0];
    assert_eq!((append.query("startOffsetToken"), append.query("endOffsetToken")), (None, None));
}

#[test]
fn the_routing_header_of_an_answer_is_echoed_on_the_same_channel_only() {
    let service = Scripted::start();
    let pipe = service.pipe();
    let (mut one, mut two) = (pipe.channel("one").open().unwrap(), pipe.channel("two").open().unwrap());
    let reply = r#"{"next_continuation_token":"0_9"}"#;
    service.next_with("rows", 200, reply, &[("x-snowflake-session", "node-7")]);
    one.append(&batch(1..=1)).unwrap();
    two.append(&batch(1..=1)).unwrap();
    one.append(&batch(2..=2)).unwrap();
    one.append(&batch(3..=3)).unwrap();
    let sticky: Vec<_> =
        service.seen_at("rows").iter().map(|seen| seen.header("x-snowflake-session").map(String::from)).collect();
    assert_eq!(sticky, [None, None, Some("node-7".into()), None]);
}

#[test]
fn a_status_names_channels_as_given() {
    let service = Scripted::start();
    let status = r#"{"channel_statuses":{"A":{"channel_status_code":"SUCCESS","last_committed_offset_token":"7",
        "rows_inserted":9,"rows_parsed":"11","rows_errors":2,"last_error_message":"bad","last_error_timestamp":"t"}}}"#;
    service.next("status", 200, status);
    let statuses = service.pipe().statuses(&["A", "b"]).unwrap();
    let seen = &service.seen_at("status")[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", &*format!("{PIPE}:bulk-channel-status")));
    assert_eq!(seen.text(), r#"{"channel_names":["A","b"]}"#);
    assert_eq!(statuses.len(), 1);
    let a = &statuses["A"];
    assert_eq!(a.committed_offset(), Some("7".into()));
    assert_eq!((a.rows_inserted(), a.rows_parsed(), a.rows_rejected()), (9, 11, 2));
}

#[test]
fn a_drop_is_a_delete_and_a_close_is_nothing() {
    let service = Scripted::start();
    let pipe = service.pipe();
    let channel = pipe.channel("load-1").open().unwrap();
    let before = service.seen().len();
    channel.close();
    assert_eq!(service.seen().len(), before);
    pipe.drop_channel("load-1").unwrap();
    let drop = &service.seen_at("drop")[0];
    assert_eq!(drop.path, format!("{PIPE}/channels/load-1"));
    assert_eq!((drop.body.len(), drop.header("content-type")), (0, None));
}

#[test]
fn a_repetition_is_the_same_request_with_a_higher_count() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    service.next("rows", 503, r#""ERR_GENERAL_EXCEPTION_RETRY_REQUEST""#);
    service.next("rows", 429, "");
    channel.append(&batch(1..=3)).unwrap();
    let appends = service.seen_at("rows");
    let counts: Vec<_> = appends.iter().map(|seen| seen.query("retryCount").unwrap()).collect();
    assert_eq!(counts, ["0", "1", "2"]);
    for again in &appends[1..] {
        assert_eq!(again.body, appends[0].body);
        for name in ["requestId", "continuationToken", "startOffsetToken", "endOffsetToken"] {
            assert_eq!(again.query(name), appends[0].query(name), "{name}");
        }
    }
}

#[test]
fn elastic_appends_carry_no_offset_and_no_continuation() {
    let service = Scripted::start();
    let client = service.client();
    client.table("db", "s", "My/Table").elastic().append(&batch(1..=2)).unwrap();
    client.pipe("db", "s", "p").elastic().append(&batch(1..=2)).unwrap();
    let appends = service.seen_at("rows");
    assert_eq!(appends[0].path, "/v2/streaming/data/databases/db/schemas/s/tables/My%2FTable/rows");
    assert_eq!(appends[1].path, "/v2/streaming/data/databases/db/schemas/s/pipes/p/channels/ELASTIC/rows");
    for append in &appends {
        let names: Vec<_> = append.query.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["requestId", "retryCount"]);
        assert_eq!(append.text(), rows(1..=2));
    }
    assert_eq!(service.seen_at("open").len(), 0);
}

#[test]
fn a_batch_too_large_for_one_request_goes_in_several_whose_tokens_are_their_own() {
    let service = Scripted::start();
    let mut channel = service.pipe().channel("load-1").open().unwrap();
    let mut noise = fastrand::Rng::with_seed(7);
    let mut batch = Batch::new();
    let mut sent = String::new();
    for id in 1..=90u64 {
        let text: String = (0..100_000).map(|_| noise.alphanumeric()).collect();
        let row = format!("{{\"ID\":{id},\"TEXT\":\"{text}\"}}");
        batch.push_json(row.as_bytes()).unwrap();
        batch.mark(id);
        sent.push_str(&row);
        sent.push('\n');
    }
    channel.append(&batch).unwrap();
    let appends = service.seen_at("rows");
    assert!(appends.len() > 1);
    assert!(appends.iter().all(|append| append.body.len() <= 4_000_000));
    assert_eq!(appends.iter().map(|append| append.text()).collect::<String>(), sent);
    let mut next = 1;
    for append in &appends {
        let lines = append.text().lines().count() as u64;
        assert_eq!(append.query("startOffsetToken"), Some(&*next.to_string()));
        assert_eq!(append.query("endOffsetToken"), Some(&*(next + lines - 1).to_string()));
        next += lines;
    }
}

#[test]
fn an_error_of_the_service_is_told_with_its_code_and_the_request() {
    let service = Scripted::start();
    let body = r#"{"code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED","message":"Pipe does not exist."}"#;
    service.next("open", 404, body);
    let error = service.pipe().channel("load-1").open().unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(404)));
    assert_eq!(error.code(), Some("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"));
    assert_eq!(error.request_id(), service.seen_at("open")[0].query("requestId"));
    let text = error.to_string();
    assert!(text.starts_with("could not open channel load-1 of pipe db.\"My Schema\".events-STREAMING: "), "{text}");
}

#[test]
fn a_delay_beyond_the_budget_is_told_and_not_slept() {
    let service = Scripted::start();
    service.next_with("open", 429, "", &[("retry-after", "3600")]);
    let error = service.pipe().channel("load-1").open().unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Throttled, Some(Duration::from_secs(3600))));
    assert_eq!((error.attempts(), service.seen_at("open").len()), (1, 1));
}
