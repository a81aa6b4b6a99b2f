//! What the program says while it waits for a service that does not respond.

use std::net::TcpListener;

use snowpipe_streaming::emulator::Emulator;

use crate::support::{Folder, error, rows, run};

#[test]
fn a_refused_port_is_named_in_one_warning_while_retries_go_on_and_in_the_error() {
    let service = Emulator::start().unwrap();
    let folder = Folder::new(&service);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let profile = std::fs::read_to_string(folder.path("profile.json")).unwrap();
    folder.profile(&profile.replace(service.url(), &format!("http://{closed}")));
    let file = folder.write("rows.ndjson", rows(1..=9));
    // Long enough for a third attempt: the pauses before it are at most half a second and a second.
    let output = run(&mut folder.load(&[&file, "--retry-budget", "6"]));
    let text = error(&output, 7);
    let place = format!("no connection to {closed}: connection refused");
    assert!(text.contains(&place) && text.contains("attempts"), "{text}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let warnings: Vec<_> = stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 1, "{stderr}");
    assert!(warnings[0].contains(&place) && warnings[0].contains("this goes on for at most"), "{stderr}");
}
