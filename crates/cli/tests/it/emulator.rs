//! `snowpipe emulator`: what it writes is what the other commands take.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use snowpipe_streaming::hiiretail::{Iam, Ocms};

use crate::support::{error, json, rows, run, snowpipe};

/// A running emulator, stopped in the end.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> (Running, String) {
        let mut child = snowpipe(&["emulator"]).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Running(child), line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn each_profile_that_it_writes_logs_in() {
    for (options, scheme) in [(vec![], "http"), (vec!["--tls"], "https")] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (_running, line) = Running::start(&[&["--dir", &path("")], options.as_slice()].concat());
        assert!(line.starts_with(&format!("listening on {scheme}://127.0.0.1:")), "{line}");
        for profile in ["profile.json", "profile-pat.json", "profile-oauth.json"] {
            let output = run(&mut snowpipe(&["check", "--profile", &path(profile)]));
            assert!(output.status.success(), "{profile}: {output:?}");
        }
        std::fs::write(path("rows.ndjson"), rows(1..=10)).unwrap();
        let load = ["load", "--profile", &path("profile.json"), "--table", "A.B.T", "--json", &path("rows.ndjson")];
        assert_eq!(json(&run(&mut snowpipe(&load)))["rows"], 10);
    }
}

#[test]
fn hii_retail_runs_beside_it_with_variables_that_only_the_owner_reads() {
    for (options, scheme) in [(vec!["--hiiretail"], "http"), (vec!["--hiiretail-port=0", "--tls"], "https")] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut command = snowpipe(&["emulator", "--dir", &path("").display().to_string()]);
        let mut child = command.args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let _running = Running(child);

        let url = said.trim_end().strip_prefix("Hii Retail is listening on ").unwrap();
        assert!(url.starts_with(&format!("{scheme}://127.0.0.1:")), "{url}");
        assert!(line.starts_with("listening on ") && !line.contains(url), "{line}");
        let file = path("hiiretail.env");
        let variables = std::fs::read_to_string(&file).unwrap();
        let variables: Vec<_> = variables.lines().map(|line| line.split_once('=').unwrap()).collect();
        let ([tenant, id, secret, auth, api], authority) = variables.split_first_chunk().unwrap();
        let expected = path("hiiretail-ca.pem").canonicalize().map(|path| path.display().to_string());
        let expected: Vec<_> = expected.iter().map(|path| ("HIIRETAIL_CA_FILE", path.as_str())).collect();
        assert_eq!((authority, authority.len()), (&*expected, usize::from(scheme == "https")));
        assert_eq!(*tenant, ("HIIRETAIL_TENANT_ID", "emulator-tenant"));
        assert!(id.0 == "HIIRETAIL_CLIENT_ID" && !id.1.is_empty(), "{id:?}");
        assert!(secret.0 == "HIIRETAIL_CLIENT_SECRET" && secret.1.len() == 64, "{secret:?}");
        assert_eq!((*auth, *api), (("HIIRETAIL_AUTH_URL", url), ("HIIRETAIL_API_URL", url)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let client = Ocms::new(id.1, secret.1).issuer(auth.1);
        let mut iam = Iam::builder(tenant.1, client).api_url(api.1).no_proxy();
        match std::fs::read_to_string(path("hiiretail-ca.pem")) {
            Ok(pem) => iam = iam.extra_roots(pem),
            Err(_) => assert_eq!(scheme, "http"),
        }
        assert_eq!(iam.build().unwrap().groups().list().count(), 0);
        let port = url.rsplit_once(':').unwrap().1;
        let mut second = snowpipe(&["emulator", "--dir", "d", "--hiiretail-port", port]);
        let said = error(&run(&mut second), 2);
        assert!(said.contains(&format!("cannot start Hii Retail: port {port} is in use")), "{said}");
        assert!(said.contains("give --hiiretail-port another"), "{said}");
    }
}

fn variables(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join("hiiretail.env")).unwrap();
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    text.lines().map(pair).collect()
}

#[test]
fn clients_of_hii_retail_go_on_after_a_restart_in_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--hiiretail", "--dir", folder.path().to_str().unwrap()];
    let (first, _) = Running::start(&arguments);
    let before = variables(folder.path());
    drop(first);
    let (_second, _) = Running::start(&arguments);
    let after = variables(folder.path());
    for name in ["HIIRETAIL_TENANT_ID", "HIIRETAIL_CLIENT_ID", "HIIRETAIL_CLIENT_SECRET"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    let client = Ocms::new(&*before["HIIRETAIL_CLIENT_ID"], &*before["HIIRETAIL_CLIENT_SECRET"]);
    let url = &*after["HIIRETAIL_API_URL"];
    let iam = Iam::builder(&*before["HIIRETAIL_TENANT_ID"], client.issuer(url)).api_url(url).no_proxy();
    assert_eq!(iam.build().unwrap().groups().list().count(), 0);
}

#[test]
fn wrong_arguments_are_one_line() {
    for (arguments, said) in [
        (vec![], "--dir DIR is needed"),
        (vec!["--prot", "1"], "\"--prot\""),
        (vec!["--dir"], "needs a value"),
        (vec!["--dir", "d", "--port", "x"], "\"x\" is not a port"),
        (vec!["--dir", "d", "--hiiretail-port", "x"], "--hiiretail-port: \"x\" is not a port"),
        (vec!["--dir", "d", "--hiiretail=yes"], "--hiiretail takes no value"),
        (vec!["--dir", "d", "--pipe", "P"], "NAME=TABLE"),
        (vec!["--dir", "d", "--public-key", "/no/such/key"], "/no/such/key"),
    ] {
        let error = error(&run(snowpipe(&["emulator"]).args(arguments)), 2);
        assert!(error.contains(said), "{said:?} is missing in {error}");
    }
}
