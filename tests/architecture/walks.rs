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

/// Each step is a row `| 2 | 1 | src/file.rs | function | what it does |`; the second cell is the step that calls it.
fn check(heading: &str, most: usize) {
    let page = fs::read_to_string(root().join("specs/architecture.md")).unwrap();
    let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("{heading} is missing"));
    let section = section.split("\n## ").next().unwrap();
    let steps: Vec<Vec<_>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| step"))
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert!(steps.len() > 3 && steps.len() <= most, "{heading} has {} steps", steps.len());
    let mut bodies: Vec<String> = Vec::new();
    for step in steps {
        let [_, caller, file, function, _] = step[..] else { panic!("{step:?} is no step") };
        let text = fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("{file} does not exist"));
        let (owner, name) = function.rsplit_once("::").unwrap_or(("", function));
        assert!(text.contains(owner), "{file} does not name {owner}");
        let body = bodies_of(&text, name);
        assert!(!body.is_empty(), "{file} has no function {name}");
        if !bodies.is_empty() {
            let caller: usize = caller.parse().unwrap_or_else(|_| panic!("{function} has no caller"));
            let calls = [format!(".{name}("), format!("::{name}(")];
            let is_called = calls.iter().any(|call| bodies[caller - 1].contains(call));
            assert!(is_called, "step {caller} does not call {function}");
        }
        bodies.push(body);
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
            let body = body.filter(|line| !line.trim_start().starts_with("//"));
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
