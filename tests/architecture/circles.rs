//! No circle of files: whoever reads one file has to know those below it, and no others.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::Crate;

#[test]
fn no_files_name_each_other_in_a_circle_but_a_module_and_its_own_parts() {
    for folder in ["", "crates/emulator", "crates/cli"] {
        let files = Crate::read(folder);
        let imports = files.imports();
        let is_own_part = |a: &str, b: &str| parent(a) == b || parent(b) == a;
        let imports = imports
            .into_iter()
            .map(|(file, named)| (file, named.into_iter().filter(|other| !is_own_part(file, other)).collect()))
            .collect();
        if let Some(circle) = circle(&imports) {
            panic!("{folder}: {} name each other in a circle", circle.join(" -> "));
        }
    }
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

/// The first circle that is found, its first file repeated at the end.
fn circle<'m>(imports: &BTreeMap<&'m str, BTreeSet<&'m str>>) -> Option<Vec<&'m str>> {
    let mut done = BTreeSet::new();
    imports.keys().find_map(|start| follow(start, imports, &mut Vec::new(), &mut done))
}

fn follow<'m>(
    file: &'m str,
    imports: &BTreeMap<&'m str, BTreeSet<&'m str>>,
    path: &mut Vec<&'m str>,
    done: &mut BTreeSet<&'m str>,
) -> Option<Vec<&'m str>> {
    if let Some(start) = path.iter().position(|passed| *passed == file) {
        return Some(path[start..].iter().copied().chain([file]).collect());
    }
    if !done.insert(file) {
        return None;
    }
    path.push(file);
    let found = imports.get(file).into_iter().flatten().find_map(|next| follow(next, imports, path, done));
    path.pop();
    found
}

#[test]
fn a_circle_is_found_however_long_it_is() {
    let imports = |pairs: &[(&'static str, &'static str)]| {
        let mut imports = BTreeMap::<&str, BTreeSet<&str>>::new();
        for (from, to) in pairs {
            imports.entry(from).or_default().insert(to);
        }
        imports
    };
    assert_eq!(circle(&imports(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    assert_eq!(circle(&imports(&[("a", "b"), ("b", "c"), ("c", "b")])), Some(vec!["b", "c", "b"]));
    assert_eq!(circle(&imports(&[("x", "a"), ("a", "b"), ("b", "c"), ("c", "a")])), Some(vec!["a", "b", "c", "a"]));
}
