//! What outlives the process with a state folder, and what is kept of rows.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_emulator::Emulator;
use tempfile::tempdir;

use crate::support::client::Client;
use crate::support::keys::jwt;
use crate::support::oauth::{access_token, log_in_with, published_key};
use crate::support::{TABLE, UUID, eventually, prompt, zstd};

fn with_state(dir: &Path) -> Emulator {
    Emulator::builder().commit_delay(Duration::ZERO).state(dir).start().unwrap()
}

/// Starts again on the same port, because the issuer of access tokens names it. Another process may have it in between.
fn restarted(emulator: Emulator, dir: &Path) -> Emulator {
    let port = emulator.url().rsplit_once(':').unwrap().1.parse().unwrap();
    drop(emulator);
    let mut next = None;
    eventually(|| {
        next = Emulator::builder().state(dir).port(port).start().ok();
        next.is_some()
    });
    next.unwrap()
}

#[test]
fn what_was_committed_outlives_the_process_and_the_rest_does_not() {
    let dir = tempdir().unwrap();
    let emulator = with_state(dir.path());
    let client = Client::scoped(&emulator);
    let first = client.open("c");
    let replayed = format!("endOffsetToken=2&continuationToken={first}&requestId={UUID}");
    let second = client.append(&replayed, b"{\"a\":1}\nbad\n").next_token();
    assert_eq!(client.committed_offset(), "2");
    assert_eq!(client.append_elastic(b"{\"e\":1}\n").status, 200);
    emulator.hold_commits(true);
    assert_eq!(client.append_compressed("zstd", &zstd(&b"{\"z\":1}\n".repeat(99))).status, 200);
    let query = format!("endOffsetToken=3&continuationToken={second}");
    let third = client.append(&query, b"{\"a\":3}\n").next_token();
    drop(emulator);

    let emulator = with_state(dir.path());
    let client = Client::with_token(&emulator, client.token());
    let rows = [b"{\"a\":1}\n{\"e\":1}\n".as_slice(), &b"{\"z\":1}\n".repeat(99)].concat();
    assert_eq!(emulator.rows(TABLE), rows);
    assert_eq!(emulator.row_count(TABLE), 101);
    let restored = client.status();
    assert_eq!(restored["last_committed_offset_token"], "2");
    assert_eq!(restored["rows_inserted"], 1);
    assert_eq!(restored["rows_error_count"], 1);
    assert_eq!(restored["channel_name"], "c");
    let elastic = client.statuses(&["ELASTIC"]);
    assert_eq!(elastic["ELASTIC"]["rows_inserted"], 100);
    assert!(elastic["ELASTIC"]["created_on_ms"].as_i64().unwrap() > 1_600_000_000_000);
    let stale = client.append(&format!("continuationToken={third}"), b"{}\n");
    stale.assert_refused(400, "STALE_CONTINUATION_TOKEN_SEQUENCER");
    assert_eq!(client.append(&replayed, b"{\"a\":1}\n").next_token(), second);
    let reopened = client.open("c");
    assert_ne!(reopened.split('_').next(), first.split('_').next());
    assert_eq!(client.drop_channel("c").status, 200);
    emulator.revoke_scoped_tokens();
    drop(emulator);

    let emulator = with_state(dir.path());
    assert_eq!(emulator.rows(TABLE), rows);
    let revoked = Client::with_token(&emulator, client.token());
    assert_eq!(revoked.try_open("c", "{}").status, 401, "revoked for good");
    assert_eq!(Client::scoped(&emulator).status(), Value::Null);
}

#[test]
fn access_tokens_outlive_the_process_and_so_does_their_revocation() {
    let dir = tempdir().unwrap();
    let emulator = with_state(dir.path());
    let (token, jwk) = (access_token(&emulator), published_key(&emulator));
    let emulator = restarted(emulator, dir.path());
    assert_eq!(log_in_with(&emulator, &token).status, 200);
    assert_eq!(published_key(&emulator), jwk);
    assert_eq!(Client::anonymous(&emulator).control("tokens", r#"{"revoke":"access"}"#).status, 200);
    log_in_with(&emulator, &token).assert_refused(401, "390303");
    let next = access_token(&emulator);
    let emulator = restarted(emulator, dir.path());
    // Revoked for good.
    log_in_with(&emulator, &token).assert_refused(401, "390303");
    assert_eq!(log_in_with(&emulator, &next).status, 200);
}

#[test]
fn an_older_state_folder_gets_the_key_that_it_lacks() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("secrets.json");
    let secrets = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();
    let emulator = with_state(dir.path());
    let client = Client::scoped(&emulator);
    let mut before = secrets();
    before.as_object_mut().unwrap().retain(|name, _| !["signing_key", "access_generation"].contains(&name.as_str()));
    before["access"] = json!(vec![7; 32]);
    std::fs::write(&file, before.to_string()).unwrap();
    let emulator = restarted(emulator, dir.path());
    assert_eq!(client.try_open("c", "{}").status, 200);
    let token = access_token(&emulator);
    assert!(secrets()["signing_key"].is_array());
    let emulator = restarted(emulator, dir.path());
    assert_eq!(log_in_with(&emulator, &token).status, 200);
}

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs an emulator until it is killed. It tests nothing by itself: the next test starts it in another process.
#[test]
fn serve_until_killed() {
    let Ok(dir) = std::env::var("EMULATOR_TEST_STATE") else {
        return;
    };
    let key = std::fs::read_to_string(format!("{dir}/key.pem")).unwrap();
    let builder = Emulator::builder().commit_delay(Duration::ZERO);
    let emulator = builder.private_key_pem(key).state(&dir).start().unwrap();
    std::fs::write(format!("{dir}/url.new"), emulator.url()).unwrap();
    std::fs::rename(format!("{dir}/url.new"), format!("{dir}/url")).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn what_was_committed_outlives_a_kill() {
    let dir = tempdir().unwrap();
    let spare = prompt();
    std::fs::write(dir.path().join("key.pem"), spare.private_key_pem().unwrap()).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "state::serve_until_killed"])
        .env("EMULATOR_TEST_STATE", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = KilledOnDrop(child);
    eventually(|| dir.path().join("url").exists());
    let url = std::fs::read_to_string(dir.path().join("url")).unwrap();
    let client = Client::at(&url, &jwt(&spare)).exchanged();
    let mut next = client.open("c");
    for row in 1..=20 {
        let query = format!("endOffsetToken={row}&continuationToken={next}");
        next = client.append(&query, format!("{{\"n\":{row}}}\n").as_bytes()).next_token();
    }
    assert_eq!(client.committed_offset(), "20");
    drop(child);

    let emulator = with_state(dir.path());
    let client = Client::with_token(&emulator, client.token());
    let rows: String = (1..=20).map(|row| format!("{{\"n\":{row}}}\n")).collect();
    assert_eq!(emulator.rows(TABLE), rows.as_bytes());
    assert_eq!(client.committed_offset(), "20");
    client.append(&format!("endOffsetToken=21&continuationToken={next}"), b"{\"n\":21}\n").next_token();
}

#[test]
fn discarded_rows_are_counted() {
    let emulator = Emulator::builder().commit_delay(Duration::ZERO).discard_rows().start().unwrap();
    let client = Client::scoped(&emulator);
    assert_eq!(client.append_elastic(b"{}\n[]\n{}\n").status, 200);
    assert_eq!(emulator.row_count(TABLE), 2);
    assert_eq!(client.inspect("counts?table=DEMO.PUBLIC.FLIGHTS").json(), json!({"rows": 2}));
    assert_eq!(client.inspect("rows?table=DEMO.PUBLIC.FLIGHTS").status, 409);
}
