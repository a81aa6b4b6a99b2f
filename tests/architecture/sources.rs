//! Reads the sources of a crate: its files, and which file names which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of one crate, by module path: `auth::cache` for src/auth/cache.rs, empty for src/lib.rs.
pub struct Crate {
    pub files: BTreeMap<String, SourceFile>,
}

pub struct SourceFile {
    pub path: PathBuf,
    /// With tests and comments.
    pub text: String,
}

impl Crate {
    /// `folder` is the crate's folder, from the root of the workspace.
    pub fn read(folder: &str) -> Crate {
        let sources = root().join(folder).join("src");
        let mut files = BTreeMap::new();
        for path in rust_files(&sources) {
            let text = fs::read_to_string(&path).unwrap();
            let module = module_of(path.strip_prefix(&sources).unwrap());
            files.insert(module, SourceFile { path, text });
        }
        assert!(files.len() > 3, "the sources in {} were not found", sources.display());
        Crate { files }
    }

    /// The files without those that only tests use.
    pub fn code_files(&self) -> impl Iterator<Item = (&str, &SourceFile)> {
        // What is below a module for tests is for tests too.
        let outer =
            |module: &str| module.match_indices("::").map(|(end, _)| module[..end].to_string()).collect::<Vec<_>>();
        let is_test = move |module: &str| {
            let is_below = outer(module).iter().any(|module| self.is_test_module(module));
            is_below || module.split("::").any(|name| name == "tests") || self.is_test_module(module)
        };
        self.files.iter().map(|(module, file)| (module.as_str(), file)).filter(move |(module, _)| !is_test(module))
    }

    /// Whether the parent declares the module for tests only.
    fn is_test_module(&self, module: &str) -> bool {
        let (parent, name) = module.rsplit_once("::").unwrap_or(("", module));
        let declaration = format!("#[cfg(test)]\nmod {name};");
        let public = format!("#[cfg(test)]\npub(crate) mod {name};");
        self.files.get(parent).is_some_and(|file| file.text.contains(&declaration) || file.text.contains(&public))
    }

    /// For each file the files that its code names, itself excepted.
    pub fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let named = |module: &str, file: &SourceFile| {
            let paths = named_paths(&file.code(), module);
            let files: BTreeSet<_> = paths.iter().map(|path| self.file_of(path)).collect();
            files.into_iter().filter(|found| *found != module).collect()
        };
        self.code_files().map(|(module, file)| (module, named(module, file))).collect()
    }

    /// The file that holds what a path names. A name that a module only passes on belongs to the file it comes from.
    fn file_of(&self, path: &str) -> &str {
        let mut module = path;
        while !self.files.contains_key(module) {
            module = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        }
        let (module, file) = self.files.get_key_value(module).unwrap();
        let name = path[module.len()..].trim_start_matches("::").split("::").next().unwrap();
        let passed_on = file.passed_on(module);
        match passed_on.iter().find(|origin| !name.is_empty() && origin.rsplit("::").next() == Some(name)) {
            Some(origin) if *origin != path => self.file_of(origin),
            _ => module,
        }
    }
}

impl SourceFile {
    pub fn without_tests(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap()
    }

    /// What the module re-exports of its own parts, by its full path.
    fn passed_on(&self, module: &str) -> Vec<String> {
        let (code, mut found) = (self.code(), Vec::new());
        for start in ["pub use ", "pub(crate) use ", "pub(super) use "] {
            for (at, _) in code.match_indices(start) {
                let tree = &code[at + start.len()..];
                if !tree.starts_with("crate::") && !tree.starts_with("super::") {
                    expand(module, tree.strip_prefix("self::").unwrap_or(tree), &mut found);
                }
            }
        }
        found
    }

    /// Without tests, comments and documentation.
    pub fn code(&self) -> String {
        let lines = self.without_tests().lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Name and length of each function, by the layout that rustfmt gives.
    pub fn functions(&self) -> Vec<(String, usize)> {
        functions(self.without_tests())
    }
}

pub fn functions(text: &str) -> Vec<(String, usize)> {
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

/// All files of Rust below a folder.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn module_of(path: &Path) -> String {
    let path = path.with_extension("");
    let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
    match names.join("::") {
        root if root == "lib" || root == "main" => String::new(),
        module => module,
    }
}

/// Every path of the crate that the code of a module names, in full: out of `use` with its braces, or in the middle of
/// the code.
fn named_paths(code: &str, module: &str) -> Vec<String> {
    let code = code.replace("pub(crate)", "pub").replace("pub(super)", "pub");
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut found = Vec::new();
    for (start, word) in [("crate::", ""), ("self::", module), ("super::", parent)] {
        for (at, _) in code.match_indices(start) {
            let is_whole_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if is_whole_word {
                expand(word, &code[at + start.len()..], &mut found);
            }
        }
    }
    found
}

/// `a::{b, c::{d, e}}` becomes `a::b`, `a::c::d` and `a::c::e`, each behind the prefix.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) -> usize {
    let name_length = tree.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(tree.len());
    let (name, rest) = tree.split_at(name_length);
    let path = match (name, prefix) {
        ("super", prefix) => prefix.rsplit_once("::").map_or("", |(parent, _)| parent).to_string(),
        ("" | "self", prefix) => prefix.to_string(),
        (name, "") => name.to_string(),
        (name, prefix) => format!("{prefix}::{name}"),
    };
    if let Some(deeper) = rest.strip_prefix("::").filter(|_| !name.is_empty()) {
        return name_length + 2 + expand(&path, deeper, found);
    }
    if !(name.is_empty() && rest.starts_with('{')) {
        found.push(path);
        return name_length;
    }
    let mut at = 1;
    while let Some(c) = rest[at..].chars().next() {
        match c {
            '}' => return at + 1,
            ',' | ' ' | '\n' => at += 1,
            _ => at += expand(prefix, &rest[at..], found).max(1),
        }
    }
    at
}

#[test]
fn a_name_belongs_to_the_file_it_comes_from() {
    let client = Crate::read("");
    assert_eq!(client.file_of("channel::Wait"), "channel::wait");
    assert_eq!(client.file_of("channel::Channel::append"), "channel");
    assert_eq!(client.file_of("rows::Batch"), "rows");
    assert_eq!(client.file_of("rows::OffsetToken"), "rows::offset_token");
}

#[test]
fn paths_are_read_out_of_braces_and_code() {
    let code = "use super::{Channel, wait::Wait};\npub(crate) use self::b::{self, C};\nfn f() { crate::x::y(1) }";
    let paths = named_paths(code, "channel::commits");
    let expected = ["x::y", "channel::commits::b", "channel::commits::b::C", "channel::Channel", "channel::wait::Wait"];
    assert_eq!(paths, expected);
    assert_eq!(named_paths("use super::super::a::B;", "x::y::z"), ["x::a::B"]);
}
