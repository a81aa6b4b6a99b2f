//! The rules of specs/architecture.md, read off the sources: a breach fails here before a reviewer has to find it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of the client may import of the crate, from the bottom up.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("secret", &[]),
    ("clock", &[]),
    ("account", &["error"]),
    ("columns", &[]),
    ("commit", &[]),
    ("rows", &["commit", "error"]),
    ("status", &["commit"]),
    ("http", &["clock", "error", "secret"]),
    ("auth", &["account", "clock", "error", "http", "secret"]),
    ("session", &["auth", "clock", "error", "http"]),
    ("exchange", &["auth", "clock", "error", "http", "secret", "session"]),
    ("api", &["commit", "error", "http", "rows", "session", "status"]),
    ("elastic", &["api", "error", "pipe", "rows"]),
    ("pipe", &["api", "channel", "clock", "elastic", "error", "session", "status"]),
    ("channel", &["api", "clock", "commit", "error", "pipe", "rows", "session", "status"]),
    ("delivery", &["channel", "clock", "commit", "error", "rows", "status"]),
    ("writer", &["channel", "clock", "commit", "delivery", "error", "rows"]),
    ("loader", &["channel", "clock", "commit", "delivery", "error", "pipe", "rows", "session", "status"]),
    ("environment", &["error"]),
    ("proxy", &["environment", "error", "http", "secret"]),
    ("profile", &["account", "auth", "environment", "error", "http", "secret"]),
    (
        "config",
        &[
            "account",
            "auth",
            "client",
            "clock",
            "environment",
            "error",
            "exchange",
            "http",
            "profile",
            "proxy",
            "secret",
            "session",
        ],
    ),
    ("check", &["api", "clock", "error", "exchange", "session"]),
    (
        "client",
        &["api", "auth", "check", "clock", "config", "error", "exchange", "pipe", "profile", "secret", "session"],
    ),
];

#[test]
fn every_module_imports_only_what_lies_below_it() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    for (path, text) in client() {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let allowed = layers.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no layer"));
        for import in imports(without_tests(&text)) {
            let is_own = import == module;
            assert!(is_own || allowed.contains(&import.as_str()), "{} may not import crate::{import}", path.display());
        }
    }
}

#[test]
fn the_emulator_shares_nothing_with_the_client() {
    for (path, text) in emulator() {
        for import in imports(&text) {
            assert_eq!(import, "emulator", "{} imports crate::{import}", path.display());
        }
        assert!(!text.contains("super::super::super"), "{} climbs out", path.display());
    }
    for (path, text) in client() {
        let is_lib = module_of(&path) == "lib";
        assert!(is_lib || !without_tests(&text).contains("emulator"), "{} knows the emulator", path.display());
    }
}

#[test]
fn each_foreign_crate_has_its_place() {
    for (path, text) in client() {
        // Our own module of that name is no breach.
        let code = code_of(&text).replace("self::ureq", "");
        let (path, module) = (path.display().to_string(), module_of(&path));
        let names = |word: &str| code.contains(&format!("{word}::"));
        assert!(path.ends_with("http/ureq.rs") || !names("::ureq"), "{path} names ureq");
        let holds_keys = path.contains("auth/signer") || path.contains("auth/private_key");
        for word in ["rsa", "pkcs8", "jsonwebtoken", " pem"] {
            assert!(holds_keys || !names(word), "{path} names {word}");
        }
        assert!(module == "rows" || !names("zstd"), "{path} names zstd");
    }
}

#[test]
fn what_the_client_never_does() {
    for (path, text) in client() {
        let (code, module) = (code_of(&text), module_of(&path));
        let path = path.display();
        for word in
            ["unsafe {", "thread::spawn", "thread::Builder", "static mut", "LazyLock", "todo!", "unimplemented!"]
        {
            assert!(!code.contains(word), "{path} holds {word}");
        }
        assert!(module == "environment" || !code.contains("env::"), "{path} reads the environment");
        assert!(module != "session" || !code.contains(".sleep("), "{path} sleeps");
        assert!(module == "clock" || !code.contains("thread::sleep"), "{path} sleeps by itself");
        let tells_time = module == "clock" || path.to_string().ends_with("cache/flight.rs");
        assert!(tells_time || !code.contains("Instant::now"), "{path} looks at a clock of its own");
    }
}

#[test]
fn there_are_three_internal_traits() {
    let mut traits: Vec<String> = client()
        .iter()
        .flat_map(|(_, text)| code_of(text).lines().map(str::to_string).collect::<Vec<_>>())
        .filter_map(|line| {
            line.split_once("trait ").map(|(_, name)| name.split([':', ' ', '<']).next().unwrap().into())
        })
        .collect();
    traits.sort();
    assert_eq!(traits, ["Clock", "TokenSource", "Transport"]);
}

#[test]
fn files_and_functions_stay_small_and_are_named_for_an_idea() {
    for (path, text) in client().into_iter().chain(emulator()) {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let vague = ["util", "utils", "common", "helpers", "types", "prelude", "manager", "mod", "misc"];
        assert!(!vague.contains(&stem.as_str()), "{} is named for nothing", path.display());
        let lines = without_tests(&text).lines().count();
        assert!(lines <= 400, "{} has {lines} lines without its tests", path.display());
        for (name, length) in functions(without_tests(&text)) {
            assert!(length <= 40, "{}: {name} has {length} lines", path.display());
        }
    }
}

#[test]
fn no_type_of_a_foreign_crate_turns_into_our_error_by_itself() {
    for (path, text) in client() {
        let conversions = code_of(&text).matches("for Error {").count();
        let froms =
            code_of(&text).lines().filter(|line| line.starts_with("impl From<") && line.contains("for Error")).count();
        assert_eq!(froms, 0, "{} converts into Error", path.display());
        assert!(conversions == 0 || module_of(&path) == "error", "{}", path.display());
    }
}

fn client() -> Vec<(PathBuf, String)> {
    let is_test = |path: &Path| path.file_stem().is_some_and(|stem| stem == "tests");
    sources().into_iter().filter(|(path, _)| module_of(path) != "emulator" && !is_test(path)).collect()
}

fn emulator() -> Vec<(PathBuf, String)> {
    sources().into_iter().filter(|(path, _)| module_of(path) == "emulator").collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![source_folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `auth` for auth.rs and all below auth/.
fn module_of(path: &Path) -> String {
    let first = path.strip_prefix(source_folder()).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

/// Without tests, comments and documentation.
fn code_of(text: &str) -> String {
    let lines = without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules named after `crate::`.
fn imports(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("pub(crate)", "");
    let named = code.split("crate::").skip(1);
    named.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

/// Name and length of each function, by the layout that rustfmt gives.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = !code.starts_with("//") && code.split('(').next().unwrap().contains("fn ");
        if !is_function || code.ends_with(';') || code.ends_with('}') {
            continue;
        }
        let end = format!("{}}}", " ".repeat(line.len() - code.len()));
        if let Some(length) = lines[start..].iter().position(|line| *line == end) {
            found.push((code.to_string(), length + 1));
        }
    }
    found
}
