//! The guides in specs/ quote texts and name keys and calls: they must be those of the sources.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_texts_that_the_troubleshooting_guide_quotes_are_said_somewhere() {
    let sources = sources();
    let guide = read("specs/troubleshooting.md");
    let mut quoted = 0;
    let rows = guide.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| symptom"));
    for row in rows {
        // A symptom in code is a text; so is a cure of several words.
        let cells: Vec<_> = row.split(" | ").collect();
        let symptoms = code_spans(cells[0]).into_iter();
        let cures = cells[1..].iter().flat_map(|cell| code_spans(cell)).filter(|text| text.contains(' '));
        for text in symptoms.chain(cures) {
            for part in text.split('…').map(str::trim).filter(|part| !part.is_empty()) {
                let is_known = sources.contains(part) || LIVE_ONLY.contains(&part);
                assert!(is_known, "nothing says {part:?}, of {row}");
                quoted += 1;
            }
        }
    }
    assert!(quoted > 40, "the rows were not found: {quoted}");
}

#[test]
fn the_migration_guide_says_of_every_key_of_a_profile_what_happens_to_it() {
    let guide = read("specs/migration.md");
    let table = code_spans(&guide);
    let keys = read("src/client/profile/keys.rs");
    let lists: String = ["KNOWN", "IGNORED", "IGNORED_FAMILIES"].iter().map(|name| list(&keys, name)).collect();
    let keys: Vec<_> = lists.split('"').skip(1).step_by(2).collect();
    assert!(keys.len() > 40, "the keys were not found");
    for key in keys {
        let is_told = table.iter().any(|told| *told == key || told.trim_end_matches('…') == key);
        assert!(is_told, "the guide does not tell what becomes of {key}");
    }
}

#[test]
fn the_calls_that_the_guides_name_exist() {
    let sources = sources();
    for guide in ["specs/troubleshooting.md", "specs/migration.md"] {
        let text = read(guide);
        for span in code_spans(&text) {
            let Some((owner, call)) = span.split_once("::") else { continue };
            if !owner.chars().all(char::is_alphanumeric) {
                continue;
            }
            let name: String = call.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let is_there = [format!("pub fn {name}("), format!("pub fn {name}<"), format!("    {name},")];
            assert!(is_there.iter().any(|text| sources.contains(text)), "{guide} names {span}, which is not there");
        }
    }
}

/// Codes of the service that no line of ours names.
const LIVE_ONLY: [&str; 1] = ["ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"];

fn list<'t>(text: &'t str, name: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("const {name}: ")).unwrap();
    rest.split("];").next().unwrap()
}

fn code_spans(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The client's sources, with texts that go over a line end in one piece.
fn sources() -> String {
    let mut all = String::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => all.push_str(&fs::read_to_string(path).unwrap()),
            }
        }
    }
    let mut pieces = all.split("\\\n");
    let first = pieces.next().unwrap().to_owned();
    pieces.fold(first, |joined, piece| joined + piece.trim_start())
}
