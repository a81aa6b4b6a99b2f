//! What Snowflake's own SDK is shown to do over TLS (tests/official_sdk), done by this client. What it does when a
//! certificate is not to be trusted is shown apart, in tls.rs.

use std::thread;
use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{
    Channel, Client, ClientBuilder, ClientCredentials, Credentials, ErrorKind, Loader, OffsetToken, Profile, Source,
};

use crate::support::{batch, builder_of, landed, pipe_of, reaching, row, rows};

const SOON: Duration = Duration::from_secs(20);
const PIPE: &str = "DEMO.PUBLIC.EVENTS-STREAMING";

fn over_tls() -> Emulator {
    Emulator::builder().tls().commit_delay(Duration::from_millis(5)).start().unwrap()
}

fn loads(service: &Emulator, client: &Client) {
    let mut channel = client.table("DEMO", "PUBLIC", "EVENTS").channel("c").open().unwrap();
    channel.append(&batch(1..=10)).unwrap();
    channel.wait_for_commit(10, SOON).unwrap();
    assert_eq!(landed(service), rows(1..=10));
}

/// Where the requests went.
fn paths(service: &Emulator) -> Vec<String> {
    service.requests().into_iter().map(|request| request.path).collect()
}

// ---- rows

#[test]
fn two_hundred_thousand_rows_land_once_and_in_order() {
    let service = over_tls();
    let report = Loader::new(&pipe_of(&service), "load-1").load(Source::reader("rows", rows(1..=200_000).as_bytes()));
    assert_eq!(report.unwrap().rows, 200_000);
    assert!(landed(&service) == rows(1..=200_000));
}

#[test]
fn two_channels_at_once_keep_their_order() {
    let service = over_tls();
    let pipe = pipe_of(&service);
    thread::scope(|scope| {
        for first in [1, 5001] {
            let pipe = &pipe;
            scope.spawn(move || {
                let mut channel = pipe.channel(format!("c{first}")).open().unwrap();
                for part in 0..10 {
                    channel.append(&batch(first + part * 500..first + part * 500 + 500)).unwrap();
                }
                channel.wait_for_commit(first + 4999, SOON).unwrap();
            });
        }
    });
    let text = landed(&service);
    let of = |first: u64| {
        let range = first..first + 5000;
        let mine = text.lines().filter(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            range.contains(&row["ID"].as_u64().unwrap())
        });
        mine.map(|line| format!("{line}\n")).collect::<String>()
    };
    assert!(of(1) == rows(1..=5000) && of(5001) == rows(5001..=10_000));
    assert_eq!(text.lines().count(), 10_000);
}

#[test]
fn elastic_appends_of_two_threads_land() {
    let service = over_tls();
    let elastic = pipe_of(&service).elastic();
    thread::scope(|scope| {
        for first in [1, 1001] {
            let elastic = &elastic;
            scope.spawn(move || elastic.append(&batch(first..first + 1000)).unwrap());
        }
    });
    let deadline = std::time::Instant::now() + SOON;
    while service.row_count("DEMO.PUBLIC.EVENTS") < 2000 {
        assert!(std::time::Instant::now() < deadline, "the rows did not land");
        thread::yield_now();
    }
    let text = landed(&service);
    let mut seen: Vec<_> = text.lines().collect();
    seen.sort_unstable();
    let mut sent: Vec<_> = (1..=2000).map(row).collect();
    sent.sort_unstable();
    assert!(seen == sent);
}

#[test]
fn another_client_resumes_after_the_committed_offset() {
    let service = over_tls();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    channel.append(&batch(1..=10)).unwrap();
    channel.close();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    assert_eq!(channel.committed_offset(), Some(&10.into()));
    channel.append(&batch(11..=20)).unwrap();
    channel.wait_for_commit(20, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=20));
}

#[test]
fn a_dropped_channel_starts_anew_and_an_unknown_one_is_told() {
    let service = over_tls();
    let pipe = pipe_of(&service);
    let mut channel = pipe.channel("c").open().unwrap();
    channel.append(&batch(1..=10)).unwrap();
    channel.wait_for_commit(10, SOON).unwrap();
    pipe.drop_channel("c").unwrap();
    assert_eq!(pipe.channel("c").open().unwrap().committed_offset(), None);
    let error = pipe.drop_channel("nobody").unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Channel, Some(404)));
    assert_eq!(error.code(), Some("ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"));
}

#[test]
fn the_committed_offsets_of_many_channels_come_in_one_answer() {
    let service = over_tls();
    let pipe = pipe_of(&service);
    for id in 1..=3 {
        let mut channel = pipe.channel(format!("c{id}")).open().unwrap();
        channel.append(&batch(id..=id)).unwrap();
        channel.wait_for_commit(id, SOON).unwrap();
    }
    let statuses = pipe.statuses(&["c1", "c2", "c3", "nobody"]).unwrap();
    let mut offsets: Vec<_> = statuses.iter().map(|(name, status)| (&**name, status.committed_offset())).collect();
    offsets.sort_by_key(|(name, _)| *name);
    let expected = [("c1", 1u64), ("c2", 2), ("c3", 3)].map(|(name, id)| (name, Some(OffsetToken::from(id))));
    assert_eq!(offsets, expected);
}

// ---- faults

fn through(fault: Fault) -> (Emulator, Channel) {
    let service = over_tls();
    let builder = builder_of(&service).retry_pause(Duration::from_millis(1));
    let mut channel = builder.build().unwrap().table("DEMO", "PUBLIC", "EVENTS").channel("c").open().unwrap();
    service.inject(fault);
    channel.append(&batch(1..=10)).unwrap();
    channel.append(&batch(11..=20)).unwrap();
    channel.wait_for_commit(20, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=20));
    (service, channel)
}

#[test]
fn bursts_of_refusals_and_lost_replies_are_survived() {
    let refused = |status| Fault::status(Endpoint::Append, status).times(3);
    for fault in [
        refused(503),
        refused(429),
        refused(500),
        Fault::lose_reply(Endpoint::Append),
        Fault::truncate(Endpoint::Append),
        Fault::drop_connection(Endpoint::Append).times(2),
    ] {
        let named = format!("{fault:?}");
        let (service, _) = through(fault);
        let appends = paths(&service).into_iter().filter(|path| path.ends_with("/rows")).count();
        assert!(appends > 2, "{named} was not met");
    }
}

#[test]
fn revoked_scoped_tokens_are_renewed_once_by_all_channels() {
    let service = over_tls();
    let pipe = pipe_of(&service);
    let mut channels: Vec<_> = (0..4).map(|n| pipe.channel(format!("c{n}")).open().unwrap()).collect();
    service.revoke_scoped_tokens();
    thread::scope(|scope| {
        for (n, channel) in (0..).zip(&mut channels) {
            scope.spawn(move || {
                channel.append(&batch(n..=n)).unwrap();
                channel.wait_for_commit(n, SOON).unwrap();
            });
        }
    });
    assert_eq!(landed(&service).lines().count(), 4);
    assert_eq!(paths(&service).iter().filter(|path| *path == "/oauth/token").count(), 2);
}

#[test]
fn a_stolen_channel_is_told_and_a_replay_lands_everything_once() {
    let service = over_tls();
    let mut channel = pipe_of(&service).channel("c").open().unwrap();
    channel.append(&batch(1..=10)).unwrap();
    channel.wait_for_commit(10, SOON).unwrap();
    assert!(service.steal_channel(PIPE, "c"));
    assert_eq!(channel.append(&batch(11..=20)).unwrap_err().kind(), ErrorKind::Channel);
    channel.reopen().unwrap();
    assert_eq!(channel.committed_offset(), Some(&10.into()));
    channel.append(&batch(11..=20)).unwrap();
    channel.wait_for_commit(20, SOON).unwrap();
    assert_eq!(landed(&service), rows(1..=20));
}

// ---- logins

#[test]
fn a_role_is_accepted() {
    let service = over_tls();
    loads(&service, &builder_of(&service).role("INGEST").build().unwrap());
}

#[test]
fn a_programmatic_access_token_logs_in() {
    let service = over_tls();
    let credentials = Credentials::programmatic_access_token(service.programmatic_access_token());
    loads(&service, &reaching(&service, credentials).role("INGEST").build().unwrap());
    let wrong = reaching(&service, Credentials::programmatic_access_token("wrong")).build().unwrap();
    let error = wrong.token().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("394400")));
}

#[test]
fn an_oauth_client_logs_in_with_and_without_discovery() {
    let service = over_tls();
    let (id, secret) = service.oauth_client();
    let endpoint = format!("{}/token", service.oauth_issuer());
    let forms = [
        ClientCredentials::of_issuer(service.oauth_issuer(), id, secret),
        ClientCredentials::at(&endpoint, id, secret).scope("session:role:INGEST"),
    ];
    for form in forms {
        let credentials = Credentials::client_credentials(form);
        reaching(&service, credentials).build().unwrap().table("DEMO", "PUBLIC", "EVENTS").channel("c").open().unwrap();
    }
    let credentials = Credentials::client_credentials(ClientCredentials::at(endpoint, id, "wrong"));
    let error = reaching(&service, credentials).build().unwrap().token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
}

#[test]
fn a_profile_names_the_authority_to_trust() {
    let service = over_tls();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), service.ca_pem().unwrap()).unwrap();
    std::fs::write(folder.path().join("key.p8"), service.private_key_pem().unwrap()).unwrap();
    let profile = serde_json::json!({
        "account": service.account(), "user": service.user(), "url": service.url(),
        "private_key_file": "key.p8", "ca_file": "ca.pem", "role": "INGEST",
    });
    std::fs::write(folder.path().join("profile.json"), profile.to_string()).unwrap();
    let profile = Profile::from_file(folder.path().join("profile.json")).unwrap();
    loads(&service, &ClientBuilder::from_profile(&profile).unwrap().build().unwrap());
}
