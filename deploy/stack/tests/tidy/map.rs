//! Checks that `ARCHITECTURE.md` is short and, as far as a program can tell, correct.

use std::collections::BTreeSet;
use std::path::Path;

use super::{EDGES, files, none, root};

/// The maximum number of words, including tables and drawings.
const MAX_WORDS: usize = 1_800;
/// The maximum number of columns of a line of prose.
const MAX_COLUMNS: usize = 100;

fn map() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_map_stays_short() {
    let map = map();
    let words = map.split_whitespace().count();
    assert!(words <= MAX_WORDS, "ARCHITECTURE.md has {words} words; the limit is {MAX_WORDS}");
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
}

/// Code is exempt because its formatter decides its width, and links because they cannot be broken.
#[test]
fn lines_of_prose_stay_narrow() {
    let mut offences = Vec::new();
    let is_prose = |path: &str| Path::new(path).extension().is_some_and(|end| end == "md");
    for file in files().into_iter().filter(|file| is_prose(&file.path)) {
        let mut is_code = false;
        for (number, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            }
            let columns = line.chars().count();
            if columns > MAX_COLUMNS && !is_code && !line.contains("](http") {
                offences.push(format!("{}:{}: {columns} columns", file.path, number + 1));
            }
        }
    }
    none("a line of prose has at most 100 columns", offences);
}

/// Each crate needs a row `| folder/ | … |` and a line `crate → crates that it may use`.
#[test]
fn the_map_lists_every_crate_and_what_it_may_use() {
    // A long line of edges goes on in the next one, after a comma.
    let map = map().replace(",\n ", ",");
    let mut offences = Vec::new();
    for (name, folder, may_use) in EDGES {
        if !map.lines().any(|line| line.starts_with(&format!("| `{folder}/` |"))) {
            offences.push(format!("{name} has no row in the table of folders"));
        }
        let mut edges = map.lines().filter_map(|line| line.split_once('→'));
        let Some((_, told)) = edges.find(|(crate_name, _)| crate_name.trim() == *name) else {
            offences.push(format!("{name} has no line of edges"));
            continue;
        };
        let told: BTreeSet<&str> =
            told.split(',').map(str::trim).filter(|used| !used.is_empty()).collect();
        let allowed: BTreeSet<&str> = may_use.iter().copied().collect();
        if told != allowed {
            offences.push(format!("{name} may use {allowed:?}, the map says {told:?}"));
        }
    }
    none("the map shows the edges as they are", offences);
}

#[test]
fn every_file_that_the_map_names_is_there() {
    let there: Vec<String> = files().into_iter().map(|file| file.path).collect();
    let map = map();
    // Removes the fenced drawing; the other backticks come in pairs.
    let text: Vec<&str> = map.split("```").step_by(2).collect();
    let mut offences = Vec::new();
    let is_file = |quoted: &str| matches!(quoted.rsplit_once('.'), Some((_, "rs" | "md")));
    let paths = text.iter().flat_map(|text| quoted(text)).filter(|quoted| is_file(quoted));
    for path in paths.filter(|path| !path.contains(' ')).flat_map(each) {
        if !there.iter().any(|file| *file == path || file.ends_with(&format!("/{path}"))) {
            offences.push(path);
        }
    }
    none("the map leads somewhere", offences);
}

/// Expands `a/{b,c}.rs` into two paths.
fn each(path: &str) -> Vec<String> {
    match path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (names, after))) => {
            names.split(',').map(|name| format!("{before}{name}{after}")).collect()
        }
        None => vec![path.to_owned()],
    }
}
