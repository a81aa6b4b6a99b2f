//! Files that hold one idea, and functions that are read at a glance.

use std::collections::BTreeMap;
use std::fs;

use super::sources::{Crate, functions, root, rust_files};

const CRATES: [&str; 3] = ["", "crates/emulator", "crates/cli"];

#[test]
fn files_and_functions_stay_small_and_are_named_for_an_idea() {
    for folder in CRATES {
        for file in Crate::read(folder).files.values() {
            let stem = file.path.file_stem().unwrap().to_string_lossy().into_owned();
            let vague = ["util", "utils", "common", "helpers", "types", "prelude", "manager", "mod", "misc"];
            assert!(!vague.contains(&stem.as_str()), "{} is named for nothing", file.path.display());
            let lines = file.without_tests().lines().count();
            assert!(lines <= 400, "{} has {lines} lines without its tests", file.path.display());
            for (name, length) in file.functions() {
                assert!(length <= 40, "{}: {name} has {length} lines", file.path.display());
            }
        }
    }
}

#[test]
fn tests_stay_small_too() {
    for folder in CRATES {
        let tests = root().join(folder).join("tests");
        for path in rust_files(&tests) {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines", path.display());
            for (name, length) in functions(&text) {
                assert!(length <= 70, "{}: {name} has {length} lines", path.display());
            }
        }
    }
}

#[test]
fn nothing_follows_the_tests_of_a_file() {
    for folder in CRATES {
        for file in Crate::read(folder).files.values() {
            let tests = &file.text[file.without_tests().len()..];
            // The module ends with the first brace that is not indented.
            let after = tests.split_once("\n}\n").map_or("", |(_, after)| after);
            assert_eq!(after, "", "{} has code below its tests, where no rule looks", file.path.display());
        }
    }
}

#[test]
fn every_number_of_the_client_has_its_reason_above_it() {
    for (_, file) in Crate::read("").code_files() {
        let lines: Vec<_> = file.without_tests().lines().collect();
        for pair in lines.windows(2) {
            let is_number = |kind: &&str| pair[1].contains(&format!(": {kind} = "));
            let is_constant = pair[1].trim_start().starts_with("const ") || pair[1].contains(") const ");
            if is_constant && ["u16", "u32", "u64", "i32", "usize", "f64", "Duration"].iter().any(is_number) {
                let has_reason = pair[0].trim_start().starts_with("//") || pair[0].trim_start().starts_with("#[");
                assert!(has_reason, "{}: no reason for {}", file.path.display(), pair[1].trim());
            }
        }
    }
}

#[test]
fn no_name_stands_for_two_types_of_the_client() {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for (_, file) in Crate::read("").code_files() {
        for line in file.code().lines() {
            // Those within a function belong to it alone.
            let item = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) ")).unwrap_or(line);
            let item = item.strip_prefix("pub ").unwrap_or(item);
            let name = ["struct ", "enum ", "trait "].iter().find_map(|kind| item.strip_prefix(kind));
            let name = name.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric()).collect::<String>());
            places.entry(name.unwrap_or_default()).or_default().push(file.path.display().to_string());
        }
    }
    places.remove("");
    assert!(places.len() > 50, "the types were not found");
    for (name, files) in places {
        assert_eq!(files.len(), 1, "{name} is defined more than once: {files:?}");
    }
}
