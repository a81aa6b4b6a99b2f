//! The report of a login that fails, at each of its steps.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{
    CheckOutcome, CheckReport, CheckStep, Client, ClientCredentials, Credentials, Error, ErrorKind, PrivateKey,
};

use crate::support::{Scripted, builder_of, client_of};

fn emulator_key(service: &Emulator) -> PrivateKey {
    PrivateKey::from_pem(service.private_key_pem().unwrap()).unwrap()
}

fn other_key() -> PrivateKey {
    PrivateKey::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/plain.p8")).unwrap()
}

fn check(service: &Emulator, account: &str, credentials: Credentials) -> CheckReport {
    Client::builder(account, credentials).url(service.url()).build().unwrap().check()
}

/// The error of the one step that failed: all before it passed, none after it was reached.
fn failure(report: &CheckReport, step: CheckStep) -> Error {
    assert!(!report.is_ok());
    let mut found = None;
    for each in CheckStep::ALL {
        match report.outcome(each) {
            CheckOutcome::Failed(error) if each == step => found = Some(error.clone()),
            CheckOutcome::Passed(_) if found.is_none() => {}
            CheckOutcome::NotReached if found.is_some() => {}
            other => panic!("{each}: {other} in\n{report}"),
        }
    }
    found.unwrap_or_else(|| panic!("{step} did not fail:\n{report}"))
}

#[test]
fn a_login_that_works_passes_every_step_and_says_what_was_found() {
    let service = Emulator::start().unwrap();
    let key = emulator_key(&service);
    let report = builder_of(&service).role("INGEST").build().unwrap().check();
    assert!(report.is_ok(), "{report}");
    let lines = [
        format!(
            "login token  passed: key-pair JWT: account TESTORG-EMULATOR, user LOADER, public key {}",
            key.fingerprint()
        ),
        format!("account host passed: {}", service.url()),
        "clock        passed: no difference from the server's clock was noticed".into(),
        "ingest host  passed: 127.0.0.1".into(),
        "exchange     passed: the login was exchanged for a scoped token".into(),
        "scope        passed: the ingest host accepts the token, for role INGEST".into(),
    ];
    assert_eq!(report.to_string(), lines.map(|line| line + "\n").concat());
}

#[test]
fn a_check_logs_in_anew_and_leaves_the_tokens_in_use_alone() {
    let service = Emulator::start().unwrap();
    let client = client_of(&service);
    let token = client.token().unwrap();
    let calls = || service.requests().len();
    let login = calls();
    assert!(client.check().is_ok());
    let check = calls() - login;
    assert_eq!(
        check,
        login + 2,
        "a login, the ingest host once more as a step of its own, and a question to that host"
    );
    assert!(client.check().is_ok());
    assert_eq!(calls(), login + 2 * check);
    assert_eq!(client.token().unwrap().expose(), token.expose());
    assert_eq!(calls(), login + 2 * check, "the token before the checks serves on");
}

#[test]
fn no_step_waits_as_long_as_other_requests_would() {
    for (endpoint, step) in [
        (Endpoint::Discovery, CheckStep::LoginToken),
        (Endpoint::AccessToken, CheckStep::LoginToken),
        (Endpoint::Hostname, CheckStep::IngestHost),
        (Endpoint::Token, CheckStep::Exchange),
        (Endpoint::Status, CheckStep::Scope),
    ] {
        let service = Emulator::start().unwrap();
        let (id, secret) = service.oauth_client();
        let client = ClientCredentials::of_issuer(service.oauth_issuer(), id, secret);
        // Half a minute is more than a check waits and less than the retry budget: it would pass after it.
        service.inject(Fault::status(endpoint, 503).header("Retry-After", "30"));
        let error = failure(&check(&service, service.account(), Credentials::client_credentials(client)), step);
        assert_eq!((error.attempts(), error.retry_after()), (1, Some(Duration::from_secs(30))), "{error}");
    }
}

#[test]
fn a_wrong_key_user_or_account_is_told_with_what_was_claimed() {
    let service = Emulator::start().unwrap();
    let (account, user) = (service.account(), service.user());
    for (claimed, credentials) in [
        (account, Credentials::key_pair(user, other_key())),
        (account, Credentials::key_pair("nobody", emulator_key(&service))),
        ("myorg-other", Credentials::key_pair(user, emulator_key(&service))),
    ] {
        let report = check(&service, claimed, credentials);
        let error = failure(&report, CheckStep::IngestHost);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("390144")));
        let CheckOutcome::Passed(found) = report.outcome(CheckStep::LoginToken) else { panic!("{report}") };
        let claims = found.strip_prefix("key-pair JWT: ").unwrap();
        assert!(error.to_string().contains(claims) && claims.contains("SHA256:"), "{claims} is missing in {error}");
        assert!(error.to_string().contains("DESC USER"), "{error}");
    }
}

#[test]
fn a_clock_that_is_off_is_told_and_fails_only_who_cannot_correct_for_it() {
    let service = Emulator::start().unwrap();
    let jwt = Credentials::key_pair(service.user(), emulator_key(&service)).mint_jwt(service.account()).unwrap();
    service.set_clock_offset(-7200);
    let report = client_of(&service).check();
    assert!(report.is_ok(), "{report}");
    assert!(tells_two_hours(&report.to_string(), "; login"), "{report}");

    let report = check(&service, service.account(), Credentials::jwt(jwt));
    let CheckOutcome::Failed(error) = report.outcome(CheckStep::Clock) else { panic!("{report}") };
    assert_eq!(error.kind(), ErrorKind::Clock);
    assert!(tells_two_hours(&error.to_string(), "; set this machine's clock by NTP"), "{error}");
    assert!(matches!(report.outcome(CheckStep::IngestHost), CheckOutcome::Failed(_)), "{report}");
}

/// A clock that tells whole seconds is known to about one of them.
fn tells_two_hours(text: &str, then: &str) -> bool {
    (7199..=7201)
        .any(|seconds| text.contains(&format!("the server's clock is {seconds} s behind this machine's{then}")))
}

#[test]
fn an_ingest_host_outside_the_domain_fails_its_step_and_gets_nothing() {
    let service = Scripted::start();
    service.next("hostname", 200, "evil.example");
    let report = service.client().check();
    let error = failure(&report, CheckStep::IngestHost);
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("evil.example"), "{error}");
    assert_eq!(service.seen().len(), 1);
}

#[test]
fn somebody_elses_server_fails_the_account_host() {
    let portal = "<html><title>Hotel network</title></html>";
    for (status, body) in [(404, "<html>Not Found</html>"), (302, ""), (200, portal), (200, "{}"), (200, "")] {
        let service = Scripted::start();
        for _ in 0..4 {
            service.next("hostname", status, body);
        }
        let client = service.builder().retry_pause(Duration::ZERO).build().unwrap();
        let error = failure(&client.check(), CheckStep::AccountHost);
        assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(status)), "{error}");
        assert!(error.to_string().contains("check the account URL"), "{error}");
        assert!(error.to_string().contains(" 127.0.0.1:"), "it names the host: {error}");
        assert_eq!(error.to_string().contains("Hotel network"), body == portal, "{error}");
    }
}

#[test]
fn a_role_that_is_a_secret_by_mistake_is_not_shown() {
    let service = Emulator::start().unwrap();
    let role = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl";
    let report = builder_of(&service).role(role).build().unwrap().check().to_string();
    assert!(!report.contains("eyJhbGci"), "{report}");
    assert!(report.contains("for role (not shown, as it looks like a secret)"), "{report}");
}

#[test]
fn a_host_that_is_out_of_reach_fails_the_account_host() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let builder = Client::builder("myorg-account1", Credentials::oauth_token("login-token"));
    let builder = builder.url(format!("http://{nobody}")).retry_budget(Duration::ZERO);
    let error = failure(&builder.build().unwrap().check(), CheckStep::AccountHost);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("check the network and the account URL"), "{error}");
}

#[test]
fn a_role_that_is_refused_fails_the_exchange() {
    let service = Emulator::start().unwrap();
    let body = r#"{"code":"390186","message":"The requested role 'ADMIN' is not granted to the user."}"#;
    service.inject(Fault::status(Endpoint::Token, 403).body(body).times(9));
    let error = failure(&builder_of(&service).role("ADMIN").build().unwrap().check(), CheckStep::Exchange);
    assert_eq!((error.kind(), error.status()), (ErrorKind::Credentials, Some(403)));
    assert!(error.to_string().contains("role 'ADMIN' is not granted"), "{error}");
}

#[test]
fn a_scoped_token_that_is_refused_fails_the_scope() {
    let service = Emulator::start().unwrap();
    service.inject(Fault::status(Endpoint::Status, 401).body(r#"{"code":"390303","message":"Invalid"}"#).times(2));
    let error = failure(&client_of(&service).check(), CheckStep::Scope);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("390303")));
    assert!(error.to_string().contains("check the role and its grants"), "{error}");
}

#[test]
fn a_pipe_that_does_not_exist_shows_that_the_token_was_taken() {
    let service = Scripted::start();
    service.next("status", 404, r#"{"code":"ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED","message":"m"}"#);
    assert!(service.client().check().is_ok());
}

#[test]
fn an_authorization_server_that_refuses_fails_the_login_token() {
    let service = Emulator::start().unwrap();
    let client = ClientCredentials::of_issuer(service.oauth_issuer(), "emulator-client", "open sesame");
    let report = check(&service, service.account(), Credentials::client_credentials(client));
    let error = failure(&report, CheckStep::LoginToken);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("invalid_client")));
    assert!(!format!("{report} {report:?}").contains("sesame"));
}
