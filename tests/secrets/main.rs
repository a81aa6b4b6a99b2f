//! No secret, and no eight characters of one, appears in any text that the library makes: not in `Debug`, not in `Display`,
//! not in an error, its causes or a panic, not in a report, not in a log line of level trace; also not if a server repeats
//! all that it was sent. Three log targets of ureq are excepted, and named in specs/troubleshooting.md: `ureq_proto::util`,
//! which dumps whole requests at level trace, and `ureq::run` and `ureq::body`, which show headers of responses at level debug.

mod echo;
mod heard;
mod names;
mod refusals;
mod server;

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use echo::{Echo, Encoding, Place, response};
use heard::{assert_unsaid, complain, headers_logged, listen, report, said, say, show};
use server::{Endpoint, Server, read};
use snowpipe_streaming::{
    Batch, Client, ClientAuthentication, ClientBuilder, ClientCredentials, Credentials, Error, Loader, Pipe,
    PrivateKey, Source,
};

const CLIENT_SECRET: &str = "Hunter2/Hunter2+Hunter2&Hunter2";
const PROGRAMMATIC: &str = "pat-0123456789+abcdefghij/klmnop";
const OAUTH: &str = "oAuTh~0987654321/zyxwvu+tsrq";
const PROXY_PASSWORD: &str = "Tr0ub4dor-Tr0ub4dor-3";

/// What every error shows of an echo.
const AGENT: &str = "snowpipe-streaming-rust/";

fn key() -> PrivateKey {
    PrivateKey::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/plain.p8")).unwrap()
}

fn builder(server: &Server, credentials: Credentials) -> ClientBuilder {
    Client::builder("myorg-account1", credentials).url(&server.url).retry_budget(Duration::ZERO).no_proxy()
}

/// Everything that a login says that fails.
fn log_in(client: &Client) -> String {
    let errors = [client.token().map(drop), client.refresh()];
    report(&client.check());
    let channel = client.table("DB", "S", "T").channel("c").open().map(drop);
    show(client);
    show(&client.counters());
    errors.into_iter().chain([channel]).filter_map(Result::err).map(|error| complain(&error)).collect()
}

/// Repeats what `act` sends to the endpoint, in every place and encoding, and returns what `act` could show.
fn echo_each(server: &Server, endpoint: Endpoint, places: &[Place], mut act: impl FnMut() -> String) {
    for place in places {
        for encoding in Encoding::ALL {
            let echo = Echo { endpoint, encoding, place: *place };
            server.echo(Some(echo));
            let shown = act();
            assert!(server.echoes() > 0, "{echo:?} was not sent");
            let is_shown = place.is_shown() && !is_of_issuer(endpoint)
                || *place == Place::Message(400) && endpoint == Endpoint::AccessToken;
            assert!(!is_shown || shown.contains(AGENT), "nothing of {echo:?} is shown: {shown}");
            server.echo(None);
        }
    }
}

/// Of an authorization server few texts are shown.
fn is_of_issuer(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Discovery | Endpoint::AccessToken)
}

#[test]
fn an_account_that_repeats_a_login_puts_it_into_nothing_that_is_said() {
    listen();
    let server = Server::start();
    let minted = Credentials::key_pair("loader", key()).mint_jwt("myorg-account1").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, token: &str| {
        std::fs::write(folder.path().join(name), token).unwrap();
        folder.path().join(name)
    };
    for (credentials, all) in [
        (Credentials::key_pair("loader", key()), true),
        (Credentials::jwt(minted.clone()), false),
        (Credentials::programmatic_access_token(PROGRAMMATIC), true),
        (Credentials::oauth_token(OAUTH), false),
        (Credentials::jwt_file(file("jwt", minted.expose())), false),
        (Credentials::programmatic_access_token_file(file("pat", PROGRAMMATIC)), false),
        (Credentials::oauth_token_file(file("oauth", OAUTH)), false),
        (Credentials::client_credentials(ClientCredentials::of_issuer(&server.url, "loader", CLIENT_SECRET)), false),
    ] {
        show(&credentials);
        let builder = builder(&server, credentials);
        show(&builder);
        // What differs is how the token is got, not what becomes of a response.
        let places = if all { &Place::ALL[..] } else { &Place::ALL[..3] };
        for endpoint in [Endpoint::Hostname, Endpoint::Exchange] {
            echo_each(&server, endpoint, places, || log_in(&builder.clone().build().unwrap()));
        }
    }
    assert!(headers_logged(AGENT), "ureq no longer logs headers of responses: change the documentation");
    let mut secrets = server.credentials();
    assert!(secrets.len() > 1000, "{}", secrets.len());
    secrets.retain(|credential| !credential.starts_with("bG9hZGVyO"));
    secrets.extend([CLIENT_SECRET, PROGRAMMATIC, OAUTH, minted.expose()].map(str::to_owned));
    secrets.sort();
    secrets.dedup();
    assert_unsaid(&secrets);
}

#[test]
fn an_authorization_server_that_repeats_a_client_puts_it_into_nothing_that_is_said() {
    listen();
    let server = Server::start();
    for authentication in
        [ClientAuthentication::Basic, ClientAuthentication::BasicUnencoded, ClientAuthentication::Body]
    {
        let client = ClientCredentials::of_issuer(&server.url, "loader", CLIENT_SECRET).authentication(authentication);
        show(&client);
        let builder = builder(&server, Credentials::client_credentials(client.scope("session:role:INGEST")));
        for endpoint in [Endpoint::Discovery, Endpoint::AccessToken] {
            echo_each(&server, endpoint, &Place::ALL, || log_in(&builder.clone().build().unwrap()));
        }
    }
    // The id before the secret is none: `loader:` and two bits are ten characters of base64.
    let pairs = server.credentials().into_iter().filter(|credential| credential.starts_with("bG9hZGVyO"));
    let mut secrets: Vec<_> = pairs.map(|pair| pair[10..].trim_end_matches('=').to_owned()).collect();
    secrets.dedup();
    assert!(secrets.len() >= 2, "{secrets:?}");
    secrets.push(CLIENT_SECRET.to_owned());
    assert_unsaid(&secrets);
}

fn batch() -> Batch {
    let mut batch = Batch::new();
    batch.push_json(br#"{"ID":1}"#).unwrap();
    batch.mark(1);
    batch
}

fn shown<T>(result: Result<T, Error>) -> String {
    result.err().map(|error| complain(&error)).unwrap_or_default()
}

fn load(pipe: &Pipe) -> String {
    let mut loader = Loader::new(pipe, "c").commit_timeout(Duration::from_secs(1));
    let result = loader.load(Source::reader("rows", &b"{\"ID\":1}\n"[..]));
    show(&result);
    show(loader.report());
    show(&loader);
    shown(result)
}

fn write(pipe: &Pipe) -> String {
    let mut writer = pipe.channel("c").open().unwrap().into_writer();
    let texts = [shown(writer.write_json(b"{\"ID\":1}", 1)), shown(writer.commit(Duration::from_millis(1)))];
    show(&writer);
    texts.concat()
}

#[test]
fn an_ingest_host_that_repeats_requests_puts_its_token_into_nothing_that_is_said() {
    listen();
    let server = Server::start();
    let client = builder(&server, Credentials::oauth_token(OAUTH)).build().unwrap();
    let pipe = client.table("DB", "S", "T");
    echo_each(&server, Endpoint::Open, &Place::ALL, || shown(pipe.channel("c").open()));
    echo_each(&server, Endpoint::Elastic, &Place::ALL, || shown(pipe.elastic().append(&batch())));
    echo_each(&server, Endpoint::Drop, &Place::ALL, || shown(pipe.drop_channel("c")));
    echo_each(&server, Endpoint::Status, &Place::ALL, || shown(pipe.statuses(&["c", "d"])));
    for (place, encoding) in Place::ALL.into_iter().flat_map(|place| Encoding::ALL.map(|encoding| (place, encoding))) {
        server.echo(None);
        let mut channel = pipe.channel("c").open().unwrap();
        server.echo(Some(Echo { endpoint: Endpoint::Append, encoding, place }));
        let text = shown(channel.append(&batch()));
        assert!(!place.is_shown() || text.contains(AGENT), "{place:?} {encoding:?}: {text}");
        show(&channel);
    }
    statuses_that_repeat(&server, &pipe);
    show(&client.counters());
    let mut secrets = server.credentials();
    secrets.sort();
    secrets.dedup();
    assert!(said("the service refused the token; it was renewed"), "the log was heard");
    assert_unsaid(&secrets);
}

fn assert_shown(text: &str) {
    assert!(text.contains(AGENT), "{text}");
}

/// Of channels that lost rows, or cannot be used.
fn statuses_that_repeat(server: &Server, pipe: &Pipe) {
    for encoding in Encoding::ALL {
        let echo = |endpoint, place| server.echo(Some(Echo { endpoint, encoding, place }));
        server.echo(None);
        let mut channel = pipe.channel("c").open().unwrap();
        channel.append(&batch()).unwrap();
        echo(Endpoint::Status, Place::Status);
        let status = channel.status().unwrap();
        assert!(status.last_error_message().unwrap().contains(AGENT));
        show(&status);
        say(&format!("{:?} {:?}", status.last_error_message(), status.last_error_offset()));
        assert_shown(&shown(channel.wait_for_commit(1, Duration::from_secs(5))));
        show(&pipe.statuses(&["c", "d"]));
        assert_shown(&load(pipe));
        assert_shown(&write(pipe));
        echo(Endpoint::Status, Place::StatusCode);
        assert_shown(&shown(channel.wait_for_commit(2, Duration::from_secs(5))));
        echo(Endpoint::Open, Place::Status);
        let channel = pipe.channel("c").open().unwrap();
        say(channel.name());
        show(&channel);
        echo(Endpoint::Open, Place::StatusCode);
        assert_shown(&shown(pipe.channel("c").open()));
        echo(Endpoint::Append, Place::Message(400));
        assert_shown(&load(pipe));
        assert_shown(&write(pipe));
    }
}

#[test]
fn a_proxy_that_repeats_its_password_puts_it_into_nothing_that_is_said() {
    listen();
    for place in [
        Place::Page(407),
        Place::Text(407),
        Place::Message(403),
        Place::Page(502),
        Place::Headers(407),
        Place::Headers(302),
    ] {
        for encoding in Encoding::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let proxy = std::thread::spawn(move || {
                let (mut connection, _) = listener.accept().unwrap();
                let received = read(&mut BufReader::new(connection.try_clone().unwrap())).unwrap();
                let echo = Echo { endpoint: Endpoint::Hostname, encoding, place };
                connection.write_all(response(echo, &received).as_bytes()).unwrap();
                received.credentials().collect::<Vec<_>>()
            });
            let builder = Client::builder("myorg-account1", Credentials::programmatic_access_token(PROGRAMMATIC));
            let builder = builder.url("https://nowhere.invalid").retry_budget(Duration::ZERO);
            let builder = builder.proxy(format!("http://joe:{PROXY_PASSWORD}@{address}"));
            show(&builder);
            let client = builder.build().unwrap();
            complain(&client.token().unwrap_err());
            show(&client);
            assert_eq!(proxy.join().unwrap(), [STANDARD.encode(format!("joe:{PROXY_PASSWORD}"))]);
        }
    }
    let pair = format!("joe:{PROXY_PASSWORD}");
    assert_unsaid(&[PROXY_PASSWORD.to_owned(), STANDARD.encode(&pair), pair, PROGRAMMATIC.to_owned()]);
}
