//! The walks through the code on the architecture page lead somewhere: every function that they name exists.

use std::fs;

use super::sources::root;

#[test]
fn an_append_is_followed_in_fifteen_functions() {
    check("## Follow an append", 15);
}

#[test]
fn a_token_renewal_is_followed_in_eight_functions() {
    check("## Follow a token renewal", 8);
}

/// Each step is a row `| 1 | src/file.rs | function | what it does |`.
fn check(heading: &str, most: usize) {
    let page = fs::read_to_string(root().join("specs/architecture.md")).unwrap();
    let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("{heading} is missing"));
    let section = section.split("\n## ").next().unwrap();
    let steps: Vec<Vec<_>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| step"))
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(steps.len() > 3 && steps.len() <= most, "{heading} has {} steps", steps.len());
    let mut bodies = String::new();
    for step in steps {
        let [_, file, function, _] = step[..] else { panic!("{step:?} is no step") };
        let (file, function) = (file.trim_matches('`'), function.trim_matches('`'));
        let text = fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("{file} does not exist"));
        let (owner, name) = function.rsplit_once("::").unwrap_or(("", function));
        assert!(text.contains(owner), "{file} does not name {owner}");
        let body = bodies_of(&text, name);
        assert!(!body.is_empty(), "{file} has no function {name}");
        let is_called = bodies.is_empty() || bodies.contains(&format!("{name}("));
        assert!(is_called, "no step before it calls {function}");
        bodies.push_str(&body);
    }
}

/// The functions of that name, without their first line.
fn bodies_of(text: &str, name: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let starts = [format!("fn {name}("), format!("fn {name}<")];
    let mut bodies = String::new();
    for (at, line) in lines.iter().enumerate() {
        if starts.iter().any(|start| line.contains(start)) {
            let end = format!("{}}}", " ".repeat(line.len() - line.trim_start().len()));
            let body = lines[at + 1..].iter().take_while(|line| **line != end);
            bodies.extend(body.map(|line| format!("{line}\n")));
        }
    }
    bodies
}

#[test]
fn every_path_that_the_specs_name_exists() {
    let mut found = 0;
    for entry in fs::read_dir(root().join("specs")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for span in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "crates/", "benches/", "examples/", "specs/"].iter();
            if is_path.clone().any(|start| span.starts_with(start)) && !span.contains([' ', '*', '{', '<', '…']) {
                assert!(root().join(span).exists(), "{} names {span}, which does not exist", path.display());
                found += 1;
            }
        }
    }
    assert!(found > 20, "the paths were not found");
}
