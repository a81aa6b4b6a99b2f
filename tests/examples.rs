//! What the examples print. They need the feature `emulator`, which is on when the whole workspace is tested.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

fn output_of(name: &str) -> String {
    let output = command(name).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An example: `cargo test` builds them, beside the folder of the tests.
fn command(name: &str) -> Command {
    let tests = env::current_exe().unwrap();
    let folder = tests.ancestors().nth(2).unwrap().join("examples");
    let example = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(example.exists(), "build it first: cargo build --features emulator,hiiretail --examples");
    let mut command = Command::new(example);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("HIIRETAIL_") {
            command.env_remove(name);
        }
    }
    command
}

#[test]
fn load_sends_every_row_once() {
    let expected = "\
first run:  10000 rows sent; 10000 stored, 0 of them before
second run: 0 rows sent; 10000 stored, 10000 of them before
landed:     10000 rows
";
    assert_eq!(output_of("load"), expected);
}

#[test]
fn writer_resumes_after_what_is_committed() {
    assert_eq!(output_of("writer"), "resuming: after row 500\nlanded:   1000 rows\n");
}

#[test]
fn elastic_appends_from_several_threads() {
    assert_eq!(output_of("elastic"), "stored: 1000 rows\nlanded: 1000 rows\n");
}

#[test]
fn oauth_discovers_logs_in_loads_and_renews() {
    let text = output_of("oauth");
    let (built, rest) = text.split_once('\n').unwrap();
    assert!(built.starts_with("built:      OAuth client emulator-client of http://127.0.0.1:"), "{text}");
    let expected = "\
logged in:  GET /oauth2/.well-known/openid-configuration -> 200
logged in:  POST /oauth2/token -> 200
logged in:  GET /v2/streaming/hostname -> 200
logged in:  POST /oauth/token -> 200
loaded:     5 rows, 5 committed
renewed:    5 rows more after both tokens were revoked, 2 renewals
landed:     10 rows
";
    assert_eq!(rest, expected);
}

#[cfg(feature = "hiiretail")]
#[test]
fn iam_assigns_a_role_and_leaves_nothing_behind() {
    let expected = "\
group:     example-staff \"Example staff\"
role:      custom.example-cashier with 1 permission
assigned:  custom.example-cashier on bu:001
listed:    Example staff
deleted:   group and role
";
    let text = output_of("iam");
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!((first, rest), ("service:   an emulator of its own, as no variable HIIRETAIL_… is set", expected));
}

#[cfg(feature = "hiiretail")]
#[test]
fn iam_uses_the_service_of_its_variables_over_tls_or_says_which_are_missing() {
    let service = snowpipe_emulator::HiiRetail::builder().tls().start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    fs::write(&authority, service.ca_pem().unwrap()).unwrap();
    let variables = [
        ("HIIRETAIL_TENANT_ID", service.tenant()),
        ("HIIRETAIL_CLIENT_ID", service.client_id()),
        ("HIIRETAIL_CLIENT_SECRET", &service.client_secret()),
        ("HIIRETAIL_AUTH_URL", service.url()),
        ("HIIRETAIL_API_URL", service.url()),
        ("HIIRETAIL_CA_FILE", authority.to_str().unwrap()),
    ];
    let output = command("iam").envs(variables).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout.starts_with(b"group:     example-staff"), "{output:?}");
    for missing in 0..3 {
        let (name, _) = variables[missing];
        let others = variables.iter().copied().filter(|(other, _)| *other != name);
        let output = command("iam").envs(others).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{name}: {said}");
        assert!(said.contains(name), "{name} is missing in {said}");
    }
    let output = command("iam").env("HIIRETAIL_ENVIRONMENT", "test").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("HIIRETAIL_TENANT_ID"), "{said}");
}

#[cfg(feature = "hiiretail")]
#[test]
fn iam_request_finds_a_user_with_a_renewed_token() {
    let expected = "\
created:  \"ann@example.com\"
found:    \"Ann\", with a token renewed 1 time
deleted:  0 users are left
";
    assert_eq!(output_of("iam_request"), expected);
}

#[test]
fn each_is_short_and_is_run_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let tests = include_str!("examples.rs");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let (name, text) = (path.file_stem().unwrap().to_str().unwrap(), fs::read_to_string(&path).unwrap());
        assert!(text.lines().count() < 60, "{name} is long for an example");
        assert!(tests.contains(&format!("output_of(\"{name}\")")), "{name} is not run here");
    }
}
