use std::sync::Arc;

use super::*;
use crate::auth::{Grant, TokenCache, TokenSource};
use crate::clock::{Clock, FakeClock};
use crate::http::{Limits, Origin, Script};
use crate::pipe::Pipe;
use crate::session::{Principal, Session};
use crate::snowflake::api::PipeName;
use crate::snowflake::dialect::SnowflakeDialect;

const OPENED: &str = r#"{"next_continuation_token":"0_1","channel_status":{"channel_status_code":"SUCCESS","last_committed_offset_token":null}}"#;
const APPENDED: &str = r#"{"next_continuation_token":"0_2"}"#;
const NOTHING_COMMITTED: &str =
    r#"{"channel_statuses":{"c":{"channel_status_code":"SUCCESS","last_committed_offset_token":null}}}"#;
const UNCOMMITTED: &str = r#"{"code":"ERR_CHANNEL_HAS_UNCOMMITTED_DATA","message":"m"}"#;

/// The same token always.
#[derive(Debug)]
struct OneToken(Arc<FakeClock>);

impl TokenSource for OneToken {
    fn fetch(&self, _: Limits) -> Result<Grant, Error> {
        let origin = Origin::parse("https://ingest.example", "test URL").unwrap();
        let (lifetime, asked) = (Duration::from_secs(3600), self.0.now());
        Ok(Grant { bearer: "token".into(), origin, lifetime, asked, reread_after: None })
    }
}

/// A writer with one row in flight, opened and appended by the first two responses.
fn writer(script: &Script, clock: &Arc<FakeClock>) -> Writer {
    script.respond(200, OPENED).respond(200, APPENDED);
    let session = Session::new(
        TokenCache::new(Box::new(OneToken(clock.clone())), clock.clone()),
        Arc::new(script.sender(clock, Duration::from_secs(30))),
        Arc::default(),
        Box::new(SnowflakeDialect::Ingest),
        Principal { identity: "user U".into(), advice: "check it" },
    );
    let name =
        PipeName { database: "D".into(), schema: "S".into(), pipe: "T-STREAMING".into(), table: Some("T".into()) };
    let pipe = Pipe::new(Arc::new(session), clock.clone(), name);
    let mut writer = pipe.channel("c").open().unwrap().into_writer();
    writer.write_json(b"{\"ID\":1}", 1).unwrap();
    writer.flush().unwrap();
    writer
}

/// Method and last part of the path of every request.
fn requests(script: &Script) -> Vec<String> {
    let of = |line: &String| {
        let path = line.split('?').next().unwrap().to_string();
        format!("{} {}", path.split(' ').next().unwrap(), path.rsplit(['/', ':']).next().unwrap())
    };
    script.lines().iter().map(of).collect()
}

#[test]
fn after_two_minutes_without_a_commit_a_tick_asks_whether_the_rows_are_lost() {
    let (script, clock) = (Script::default(), Arc::new(FakeClock::new()));
    let mut writer = writer(&script, &clock);
    clock.pass(Duration::from_secs(100));
    script.respond(200, NOTHING_COMMITTED);
    writer.tick().unwrap();
    writer.tick().unwrap();
    assert_eq!(requests(&script), ["PUT c", "POST rows", "POST bulk-channel-status"]);
    clock.pass(Duration::from_secs(20));
    script.respond(200, NOTHING_COMMITTED).respond(409, UNCOMMITTED);
    let error = writer.tick().unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true), "still on their way: {error}");
    clock.pass(Duration::from_secs(119));
    script.respond(200, NOTHING_COMMITTED);
    writer.tick().unwrap();
    clock.pass(Duration::from_secs(1));
    script.respond(200, NOTHING_COMMITTED).respond(200, OPENED).respond(200, APPENDED);
    writer.tick().unwrap();
    assert_eq!(requests(&script)[6..], ["POST bulk-channel-status", "PUT c", "POST rows"]);
    assert_eq!((writer.report().reopens, script.sent()[7].body.as_str()), (1, "{\"fail_on_uncommitted_rows\":true}"));
}
