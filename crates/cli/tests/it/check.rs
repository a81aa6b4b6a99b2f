//! `snowpipe check`: the report it prints, its verdict, and the proxy that it goes through.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::thread::{self, JoinHandle};

use snowpipe_streaming::CheckStep;
use snowpipe_streaming::emulator::Emulator;

use crate::support::{Folder, error, run, snowpipe, stdout};

#[test]
fn the_report_is_printed_and_its_verdict_is_the_exit_code() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    for (user, verdict) in [(service.user(), 0), ("NOBODY", 6)] {
        folder.profile(&format!(
            r#"{{"account":"{}","user":"{user}","url":"{}","private_key_file":"key.p8"}}"#,
            service.account(),
            service.url()
        ));
        let output = run(&mut folder.command("check", &[]));
        assert_eq!(output.status.code(), Some(verdict), "{output:?}");
        let text = stdout(&output);
        assert_eq!(text.lines().count(), CheckStep::ALL.len(), "{text}");
        assert!(text.starts_with("login token  passed: "), "{text}");
        assert_eq!(text.contains("ingest host  FAILED: "), verdict == 6, "{text}");
        assert_eq!(output.stderr.starts_with(b"error: "), verdict == 6, "{output:?}");
    }
}

#[test]
fn without_a_profile_the_connection_is_that_of_the_variables() {
    let service = Emulator::start().unwrap();
    let token = service.programmatic_access_token();
    let mut check = snowpipe(&["check"]);
    check.env_clear().env("SNOWFLAKE_ACCOUNT", service.account()).env("SNOWFLAKE_URL", service.url());
    check.env("SNOWFLAKE_AUTHORIZATION_TYPE", "PAT").env("SNOWFLAKE_PAT", &token);
    let output = run(&mut check);
    assert!(output.status.success(), "{output:?}");
    assert!(!format!("{output:?}").contains(&token), "{output:?}");
}

#[test]
fn another_argument_is_an_error() {
    for arguments in [vec!["check", "profile.json"], vec!["check", "--profile"]] {
        assert!(error(&run(&mut snowpipe(&arguments)), 2).contains("--profile FILE"));
    }
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let (url, head) = refusing_proxy();
        let output = check_with(name, &url);
        let text = error(&output, 6);
        assert!(text.contains("nowhere.invalid:443 through the proxy 127.0.0.1:"), "{text}");
        let head = head.join().unwrap();
        assert!(head.starts_with("CONNECT nowhere.invalid:443 HTTP/1.1\r\n"), "{head:?}");
    }
}

#[test]
fn a_socks_variable_is_an_error_and_not_a_direct_connection() {
    let output = check_with("ALL_PROXY", "socks5://joe:sesame@127.0.0.1:1");
    let said = error(&output, 2);
    assert!(said.starts_with("error: the variable ALL_PROXY is a SOCKS proxy, which is not supported; "), "{said}");
    assert!(!said.contains("sesame") && output.stdout.is_empty(), "{said}");
}

fn check_with(variable: &str, value: &str) -> Output {
    let mut check = snowpipe(&["check"]);
    check.env_clear().env("SNOWFLAKE_ACCOUNT", "myorg-account1").env("SNOWFLAKE_URL", "https://nowhere.invalid");
    check.env("SNOWFLAKE_AUTHORIZATION_TYPE", "PAT").env("SNOWFLAKE_PAT", "login-token");
    run(check.env(variable, value))
}

/// The URL of a proxy that refuses the first request, and the head of that.
fn refusing_proxy() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        client.write_all(b"HTTP/1.1 407 X\r\n\r\n").unwrap();
        String::from_utf8(head).unwrap()
    });
    (url, head)
}
