//! The map, `ARCHITECTURE.md`, is short and true as far as a program can tell.

use std::collections::BTreeSet;

use super::{EDGES, files, none, root};

const ARCHITECTURE_STOP: usize = 150;

fn map() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_map_stays_short() {
    let map = map();
    assert!(
        map.lines().count() <= ARCHITECTURE_STOP,
        "ARCHITECTURE.md has {} lines",
        map.lines().count()
    );
    for name in ["README.md", "CONTRIBUTING.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
}

/// `| folder | what lives there | may use |`, one row for each crate.
#[test]
fn the_map_lists_every_crate_and_what_it_may_use() {
    let map = map();
    let mut offences = Vec::new();
    for (name, folder, may_use) in EDGES {
        let row = map.lines().find(|line| line.starts_with(&format!("| `{folder}/` |")));
        let Some(row) = row else {
            offences.push(format!("{name} is missing"));
            continue;
        };
        let last = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        let told: BTreeSet<&str> = quoted(last).collect();
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
    // The drawing of the processes is fenced; what is left comes in pairs of backticks.
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

/// `a/{b,c}.rs` is two paths.
fn each(path: &str) -> Vec<String> {
    match path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (names, after))) => {
            names.split(',').map(|name| format!("{before}{name}{after}")).collect()
        }
        None => vec![path.to_owned()],
    }
}
