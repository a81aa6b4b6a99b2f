//! The layers: specs/architecture.md has the tables, from the ground up, and the sources must agree with them.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{Crate, root};

#[test]
fn every_module_of_the_client_names_what_its_row_allows_and_nothing_else() {
    check("", "## Layers of the client");
}

#[test]
fn every_room_of_the_emulator_names_what_its_row_allows_and_nothing_else() {
    check("crates/emulator", "## Layers of the emulator");
}

fn check(folder: &str, heading: &str) {
    let layers = layers(heading);
    let found = found(&Crate::read(folder));
    let listed: BTreeSet<_> = layers.iter().map(|layer| layer.module.as_str()).collect();
    let present: BTreeSet<_> = found.keys().map(String::as_str).collect();
    assert_eq!(listed, present, "the rows of {heading} and the modules of the crate");
    for (index, layer) in layers.iter().enumerate() {
        let above: Vec<_> = layers[..index].iter().map(|layer| layer.module.as_str()).collect();
        for allowed in &layer.allowed {
            assert!(above.contains(&allowed.as_str()), "{} may name {allowed}, which stands below it", layer.module);
        }
        assert_eq!(found[&layer.module], layer.allowed, "what {} names, and what its row allows", layer.module);
    }
}

struct Layer {
    module: String,
    allowed: BTreeSet<String>,
}

/// The rows below a heading: `| module | names | idea |`, several modules in the first cell sharing the others.
fn layers(heading: &str) -> Vec<Layer> {
    let page = std::fs::read_to_string(root().join("specs/architecture.md")).unwrap();
    let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("{heading} is missing"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| module"));
    let words = |cell: &str| cell.split(", ").map(str::to_string).filter(|word| word != "–").collect::<Vec<_>>();
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
        .map(|cells| Layer { module: cells[0].to_string(), allowed: words(cells[1]).into_iter().collect() })
        .collect()
}

/// For each module at the top, the others that its files name.
fn found(files: &Crate) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for (file, named) in files.imports() {
        if file.is_empty() {
            continue;
        }
        let module = top(file);
        let others = named.into_iter().filter(|other| !other.is_empty()).map(top).filter(|other| *other != module);
        found.entry(module.to_string()).or_default().extend(others.map(str::to_string));
    }
    found
}

fn top(module: &str) -> &str {
    module.split("::").next().unwrap()
}
