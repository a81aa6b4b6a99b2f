//! An OAuth client that logs in as itself: what it sends to its authorization server, and what to the service.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httpmock::{HttpMockRequest, HttpMockResponse, Mock, MockServer};
use snowpipe_streaming::{
    Client, ClientAuthentication, ClientBuilder, ClientCredentials, ClientSecret, Credentials, ErrorKind, Profile,
};

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

fn client_of(issuer: &MockServer) -> ClientCredentials {
    ClientCredentials::of_issuer(issuer.base_url(), "loader", "open sesame").scope("session:role:INGEST")
}

fn connect(service: &MockServer, client: ClientCredentials) -> Client {
    let credentials = Credentials::client_credentials(client);
    let builder = Client::builder("myorg-account1", credentials).url(service.base_url());
    builder.retry_budget(Duration::from_secs(2)).build().unwrap()
}

fn discovery<'s>(issuer: &'s MockServer, token_endpoint: &str) -> Mock<'s> {
    let body = format!(r#"{{"issuer":"{}/","token_endpoint":"{token_endpoint}"}}"#, issuer.base_url());
    issuer.mock(|when, then| {
        when.method("GET").path(WELL_KNOWN).header("accept", "application/json").header_missing("authorization");
        then.status(200).header("content-type", "application/json").body(body);
    })
}

/// Issues `login-1` to the right client, asked in the right words.
fn token_endpoint(issuer: &MockServer) -> Mock<'_> {
    issuer.mock(|when, then| {
        when.method("POST")
            .path("/oauth2/token")
            .query_param_missing("requestId")
            // loader:open+sesame
            .header("authorization", "Basic bG9hZGVyOm9wZW4rc2VzYW1l")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials&scope=session%3Arole%3AINGEST");
        then.status(200).body(r#"{"access_token":"login-1","token_type":"Bearer","expires_in":3600}"#);
    })
}

/// The service takes `login-1` for a login, as an OAuth token.
fn exchange(service: &MockServer) -> [Mock<'_>; 2] {
    let host = service.mock(|when, then| {
        when.method("GET")
            .path("/v2/streaming/hostname")
            .header("authorization", "Bearer login-1")
            .header("x-snowflake-authorization-token-type", "OAUTH");
        then.status(200).body("127.0.0.1");
    });
    let token = service.mock(|when, then| {
        when.method("POST").path("/oauth/token").header("authorization", "Bearer login-1").body(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&scope=127.0.0.1\
                 &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token",
        );
        then.status(200).body("scoped-1");
    });
    [host, token]
}

#[test]
fn an_oauth_client_logs_in_through_discovery_and_its_token_is_kept() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let found = discovery(&issuer, &format!("{}/oauth2/token", issuer.base_url()));
    let (issued, exchanged) = (token_endpoint(&issuer), exchange(&service));
    let client = connect(&service, client_of(&issuer));
    for _ in 0..3 {
        assert_eq!(client.token().unwrap().expose(), "scoped-1");
    }
    client.refresh().unwrap();
    assert_eq!((found.calls(), issued.calls()), (1, 2), "the document is kept, a refresh reaches the network");
    assert_eq!(exchanged.map(|mock| mock.calls()), [2, 2]);
}

#[test]
fn without_discovery_the_given_endpoint_is_asked() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let (issued, _exchanged) = (token_endpoint(&issuer), exchange(&service));
    let client = client_of(&issuer).fallback(format!("{}/oauth2/token", issuer.base_url()));
    assert_eq!(connect(&service, client).token().unwrap().expose(), "scoped-1");
    assert_eq!(issued.calls(), 1);
}

#[test]
fn a_refused_client_is_told_once_and_the_service_never_asked() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    discovery(&issuer, &format!("{}/oauth2/token", issuer.base_url()));
    let refused = issuer.mock(|when, then| {
        when.method("POST").path("/oauth2/token");
        then.status(401)
            .header("www-authenticate", "Basic")
            .body(r#"{"error":"invalid_client","error_description":"open sesame is not the secret"}"#);
    });
    let any = service.mock(|when, then| {
        when.path_matches("^/");
        then.status(500);
    });
    let client = connect(&service, client_of(&issuer));
    for _ in 0..3 {
        let error = client.token().unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Credentials, Some("invalid_client")));
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("sesame"), "{shown}");
    }
    assert_eq!((refused.calls(), any.calls()), (1, 0));
}

#[test]
fn a_secret_is_not_sent_where_a_redirect_points() {
    let (issuer, elsewhere, service) = (MockServer::start(), MockServer::start(), MockServer::start());
    let lured = elsewhere.mock(|when, then| {
        when.path_matches("^/");
        then.status(200).body(r#"{"access_token":"login-1","token_type":"Bearer"}"#);
    });
    for path in [WELL_KNOWN, "/oauth2/token"] {
        issuer.mock(|when, then| {
            when.path(path);
            then.status(307).header("location", elsewhere.url(path));
        });
    }
    let direct = ClientCredentials::at(format!("{}/oauth2/token", issuer.base_url()), "loader", "open sesame");
    for client in [client_of(&issuer), direct] {
        assert_eq!(connect(&service, client).token().unwrap_err().kind(), ErrorKind::Protocol);
    }
    assert_eq!(lured.calls(), 0);
}

#[test]
fn a_document_of_another_issuer_gets_no_secret() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let body = format!(r#"{{"issuer":"https://evil.example","token_endpoint":"{}/oauth2/token"}}"#, issuer.base_url());
    issuer.mock(|when, then| {
        when.path(WELL_KNOWN);
        then.status(200).body(body);
    });
    let issued = token_endpoint(&issuer);
    let error = connect(&service, client_of(&issuer)).token().unwrap_err();
    assert_eq!((error.kind(), issued.calls()), (ErrorKind::Refused, 0));
}

#[test]
fn a_compressed_document_is_not_asked_for_and_not_unpacked() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let found = issuer.mock(|when, then| {
        when.path(WELL_KNOWN).header("accept-encoding", "identity");
        then.status(200).header("content-encoding", "gzip").body(bomb);
    });
    let error = connect(&service, client_of(&issuer)).token().unwrap_err();
    assert_eq!((error.kind(), found.calls()), (ErrorKind::Protocol, 1), "{error}");
}

#[test]
fn a_profile_logs_in_as_an_oauth_client_with_credentials_in_the_header_alone() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let (issued, _exchanged) = (token_endpoint(&issuer), exchange(&service));
    let profile = format!(
        r#"{{"account": "myorg-account1", "url": "{}", "authorization_type": "OAUTH", "oauth_client_id": "loader",
            "oauth_client_secret": "open sesame", "oauth_token_endpoint": "{}/oauth2/token", "oauth_scope": "session:role:INGEST"}}"#,
        service.base_url(),
        issuer.base_url()
    );
    let profile = Profile::from_json(&profile).unwrap();
    let client = ClientBuilder::from_profile(&profile).unwrap().build().unwrap();
    assert_eq!(client.token().unwrap().expose(), "scoped-1");
    assert_eq!(issued.calls(), 1);
}

#[test]
fn credentials_in_the_body_stand_in_no_header() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let issued = issuer.mock(|when, then| {
        when.method("POST")
            .path("/oauth2/token")
            .header_missing("authorization")
            .body("grant_type=client_credentials&client_id=loader&client_secret=open+sesame");
        then.status(200).body(r#"{"access_token":"login-1","token_type":"bearer"}"#);
    });
    let _exchanged = exchange(&service);
    let endpoint = format!("{}/oauth2/token", issuer.base_url());
    let client = ClientCredentials::at(endpoint, "loader", "open sesame").authentication(ClientAuthentication::Body);
    assert_eq!(connect(&service, client).token().unwrap().expose(), "scoped-1");
    assert_eq!(issued.calls(), 1);
}

#[test]
fn a_profile_sends_credentials_in_the_body_for_a_server_that_wants_them_there() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let issued = issuer.mock(|when, then| {
        when.method("POST")
            .path("/oauth2/token")
            .header_missing("authorization")
            .body("grant_type=client_credentials&client_id=loader&client_secret=open+sesame");
        then.status(200).body(r#"{"access_token":"login-1","token_type":"bearer"}"#);
    });
    let _exchanged = exchange(&service);
    let profile = format!(
        r#"{{"account": "myorg-account1", "url": "{}", "authorization_type": "OAUTH", "oauth_client_id": "loader",
            "oauth_client_secret": "open sesame", "oauth_token_endpoint": "{}/oauth2/token",
            "oauth_client_authentication": "post"}}"#,
        service.base_url(),
        issuer.base_url()
    );
    let client = ClientBuilder::from_profile(&Profile::from_json(&profile).unwrap()).unwrap().build().unwrap();
    assert_eq!(client.token().unwrap().expose(), "scoped-1");
    assert_eq!(issued.calls(), 1);
}

#[test]
fn a_token_endpoint_elsewhere_is_reached_through_the_proxy_although_its_issuer_is_this_machine() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let found = discovery(&issuer, "https://auth.invalid/oauth2/token");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = proxy.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut connection, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(connection.try_clone().unwrap()).read_line(&mut line).unwrap();
        connection.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").unwrap();
        line
    });
    let builder = Client::builder("myorg-account1", Credentials::client_credentials(client_of(&issuer)));
    let builder = builder.url(service.base_url()).proxy(format!("http://{place}")).retry_budget(Duration::ZERO);
    let error = builder.build().unwrap().token().unwrap_err();
    // If nobody asked the proxy, it waits no longer.
    drop(TcpStream::connect(place));
    assert_eq!((asked.join().unwrap().as_str(), found.calls()), ("CONNECT auth.invalid:443 HTTP/1.1\r\n", 1));
    let expected = "get an access token at https://auth.invalid/oauth2/token";
    assert!(error.to_string().contains(expected), "{error}");
}

/// An authorization server that accepts these secrets, and counts what it refuses.
fn accepting(issuer: &MockServer, secrets: &Arc<Mutex<BTreeSet<String>>>, refused: &Arc<Mutex<u32>>) {
    let (secrets, refused) = (Arc::clone(secrets), Arc::clone(refused));
    issuer.mock(|when, then| {
        when.method("POST").path("/oauth2/token");
        then.respond_with(move |request: &HttpMockRequest| {
            let basic = request.headers()["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
            let pair = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
            let (status, body) = match secrets.lock().unwrap().contains(pair.strip_prefix("loader:").unwrap()) {
                true => (200, r#"{"access_token":"login-1","token_type":"Bearer","expires_in":3600}"#),
                false => (401, r#"{"error":"invalid_client"}"#),
            };
            *refused.lock().unwrap() += u32::from(status == 401);
            HttpMockResponse::builder().status(status).body(body).build()
        });
    });
}

/// In one step, as a file of secrets is to be replaced.
fn replace(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, path).unwrap();
}

#[test]
fn no_call_is_lost_while_the_secret_in_the_file_changes_a_hundred_times() {
    let (issuer, service) = (MockServer::start(), MockServer::start());
    let (secrets, refused) = (Arc::new(Mutex::new(BTreeSet::from(["secret-0".to_owned()]))), Arc::default());
    accepting(&issuer, &secrets, &refused);
    let _exchanged = exchange(&service);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client-secret");
    replace(&path, "secret-0\n");
    let endpoint = format!("{}/oauth2/token", issuer.base_url());
    let client = connect(&service, ClientCredentials::at(endpoint, "loader", ClientSecret::from_file(&path)));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    client.refresh().unwrap();
                }
            });
        }
        let lost = (1..=100).find_map(|n| {
            // As providers do it: both are valid until the clients have the new one.
            secrets.lock().unwrap().insert(format!("secret-{n}"));
            replace(&path, &format!("secret-{n}\n"));
            secrets.lock().unwrap().retain(|secret| *secret == format!("secret-{n}"));
            client.refresh().err()
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(lost.is_none(), "{lost:?}");
    });
    assert!(*refused.lock().unwrap() >= 50, "the secrets that were given up were refused: {refused:?}");
}
