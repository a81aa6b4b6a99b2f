//! What the `oauth` example prints, step by step.

use std::process::Command;

use crate::support::example;

#[test]
fn the_example_discovers_logs_in_loads_and_renews() {
    let output = Command::new(example("oauth")).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
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
