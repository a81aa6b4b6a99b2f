//! The rules of specs/architecture.md, read off the sources: a breach fails here before a reviewer has to find it.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/sizes.rs"]
mod sizes;
#[path = "architecture/sources.rs"]
mod sources;
#[path = "architecture/walks.rs"]
mod walks;

use self::sources::{Crate, root};

#[test]
fn each_foreign_crate_has_its_place() {
    for (module, file) in client().code_files() {
        // Our own modules and types of that name are no breach.
        let code = file.code().replace("self::ureq", "").replace("unzstd::", "").replace("Unzstd::", "");
        let path = file.path.display();
        let names = |word: &str| code.contains(&format!("{word}::"));
        let is_transport = module == "http::ureq" || module.starts_with("http::ureq::");
        assert!(is_transport || !names("::ureq"), "{path} names ureq");
        let holds_keys = module == "auth::signer" || module.starts_with("auth::private_key");
        for word in ["rsa", "pkcs8", "jsonwebtoken"] {
            assert!(holds_keys || !names(word), "{path} names {word}");
        }
        // Certificates are public; keys are read without copies that are not wiped.
        assert!(module == "http::ureq::trust" || !names(" pem"), "{path} names pem");
        assert!(module.starts_with("rows") || module == "loader::unzstd" || !names("zstd"), "{path} names zstd");
        assert!(module == "loader::gunzip" || !names("flate2"), "{path} names flate2");
    }
}

#[test]
fn what_the_client_never_does() {
    for (module, file) in client().code_files() {
        let (code, path) = (file.code(), file.path.display());
        for word in ["thread::spawn", "thread_local!", "static mut", "LazyLock", "todo!", "unimplemented!"] {
            assert!(!code.contains(word), "{path} holds {word}");
        }
        // Those of a pool end with it, the one of a pipe ends with its read; all others end in a scope.
        let starts_threads = ["writer_pool::channel_thread", "loader::detached_reader"].contains(&module);
        assert!(starts_threads || !code.contains("thread::Builder"), "{path} starts a thread");
        let is_mutable =
            |line: &&str| ["Mutex", "Lock", "Atomic", "Cell", "Once"].iter().any(|word| line.contains(word));
        let mut statics = code.lines().filter(|line| line.contains("static ") && line.contains(": "));
        assert_eq!(statics.find(is_mutable), None, "{path} has global state");
        assert!(module == "client::environment" || !code.contains("env::"), "{path} reads the environment");
        assert!(!module.starts_with("session") || !code.contains(".sleep("), "{path} sleeps");
        assert!(module == "clock" || !code.contains("thread::sleep"), "{path} sleeps by itself");
        let reads_time = ["clock", "auth::cache::fetch"].contains(&module);
        assert!(reads_time || !code.contains("Instant::now"), "{path} reads a clock of its own");
        let reads_date = ["clock", "http::retry"].contains(&module);
        assert!(reads_date || !code.contains("SystemTime::now"), "{path} reads a clock of its own");
    }
}

#[test]
fn there_are_four_internal_traits() {
    let mut traits = Vec::new();
    for (_, file) in client().code_files() {
        for line in file.code().lines() {
            let name = line.split_once("trait ").map(|(_, name)| name.split([':', ' ', '<']).next().unwrap());
            traits.extend(name.map(str::to_string));
        }
    }
    traits.sort();
    assert_eq!(traits, ["Clock", "Dialect", "TokenSource", "Transport"]);
}

#[test]
fn the_token_core_knows_no_service() {
    for (module, file) in client().code_files() {
        if ["http", "auth", "session"].contains(&module.split("::").next().unwrap()) {
            let code = file.code();
            for word in ["nowflake", "STALE_", "3903", "3943", "390144", "requestId", "retryCount"] {
                assert!(!code.contains(word), "{} names {word}", file.path.display());
            }
        }
    }
}

#[test]
fn the_emulator_shares_nothing_with_the_client() {
    for (_, file) in emulator().code_files() {
        assert!(!file.code().contains("snowpipe_streaming"), "{} names the client", file.path.display());
    }
    let manifest = std::fs::read_to_string(root().join("crates/emulator/Cargo.toml")).unwrap();
    let depends = manifest.lines().any(|line| line.starts_with("snowpipe-streaming"));
    assert!(!depends, "the emulator depends on the client");
    for (module, file) in client().code_files() {
        assert!(module.is_empty() || !file.code().contains("emulator"), "{} knows the emulator", file.path.display());
    }
}

#[test]
fn no_type_of_a_foreign_crate_turns_into_our_error_by_itself() {
    for (module, file) in client().code_files() {
        // Errors of our own, which have one of these in them.
        let own = ["CloseError", "PoolCloseError"].map(|own| format!("impl From<{own}> for Error {{"));
        let code = own.iter().fold(file.code(), |code, own| code.replace(own, ""));
        let froms = code.lines().filter(|line| line.starts_with("impl From<") && line.contains("for Error")).count();
        assert_eq!(froms, 0, "{} converts into Error", file.path.display());
        assert!(module == "error" || !code.contains("for Error {"), "{}", file.path.display());
    }
}

fn client() -> Crate {
    Crate::read("")
}

fn emulator() -> Crate {
    Crate::read("crates/emulator")
}
