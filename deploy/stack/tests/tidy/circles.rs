//! No circle between the rooms of a crate. A room is a module at the crate's top level with all
//! that is below it; the files of one room may know each other.
//!
//! The imports are read from the text: paths that begin with `crate`, `super` or `self`, outside
//! comments, strings and test modules. A name that the crate's root re-exports counts as its
//! room's.

use std::collections::{BTreeMap, BTreeSet};

use super::{EDGES, Source, none, rust};

/// What one crate's files import: from room to room, with one place that does.
type Imports = BTreeMap<(String, String), String>;

/// The module path of a file below `src`. `None` for a program's own files: they are another crate.
fn module(path: &str, folder: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix(folder)?.strip_prefix("/src/")?.strip_suffix(".rs")?;
    if inside.starts_with("bin/") || inside == "main" {
        return None;
    }
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    if inside == "lib" { Some(Vec::new()) } else { Some(names(inside, "/")) }
}

fn names(text: &str, between: &str) -> Vec<String> {
    text.split(between).map(ToOwned::to_owned).collect()
}

/// The text without comments and the insides of strings.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut kept = String::new();
        let mut in_string = false;
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if in_string => drop(letters.next()),
                '"' => in_string = !in_string,
                '/' if !in_string && letters.peek() == Some(&'/') => break,
                _ if !in_string => kept.push(letter),
                _ => {}
            }
        }
        kept
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Splits the inside of braces at its own commas.
fn members(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0_usize, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&text[from..at]);
                return found;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// The paths that a text names from one of its roots on, each as its segments.
fn paths(text: &str) -> Vec<Vec<String>> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(root) {
            // `super::super::` is found once, from its beginning; `$crate::` is `crate::`.
            let before = text[..at].chars().next_back();
            if before.is_some_and(|letter| is_word(letter) || letter == ':') {
                continue;
            }
            found.extend(tree(&text[at..]));
        }
    }
    found
}

/// The paths of a use tree.
fn tree(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(inside) = text.strip_prefix('{') {
        return members(inside).into_iter().flat_map(tree).collect();
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Vec::new();
    }
    let Some(rest) = rest.strip_prefix("::") else { return vec![vec![name.to_owned()]] };
    let below = tree(rest);
    if below.is_empty() {
        return vec![vec![name.to_owned()]];
    }
    let under = |path: Vec<String>| std::iter::once(name.to_owned()).chain(path).collect();
    below.into_iter().map(under).collect()
}

/// The path from the crate's root that a path in this module means.
fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    let mut from = module.to_vec();
    let mut rest = path;
    while let Some((first, more)) = rest.split_first() {
        match first.as_str() {
            "crate" => from.clear(),
            "super" => drop(from.pop()),
            "self" => {}
            _ => break,
        }
        rest = more;
    }
    from.extend_from_slice(rest);
    from
}

/// The rooms of the names that the crate's root re-exports.
fn reexports(root: &str, rooms: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (at, _) in root.match_indices("use ") {
        for path in tree(&root[at + "use ".len()..]) {
            if let [room, .., name] = path.as_slice()
                && rooms.contains(room)
            {
                found.insert(name.clone(), room.clone());
            }
        }
    }
    found
}

fn imports(files: &[&Source], folder: &str) -> Imports {
    let modules: Vec<(Vec<String>, &Source)> =
        files.iter().filter_map(|file| Some((module(&file.path, folder)?, *file))).collect();
    let rooms: BTreeSet<String> =
        modules.iter().filter_map(|(module, _)| module.first().cloned()).collect();
    let root = modules.iter().find(|(module, _)| module.is_empty());
    let root = root.map(|(_, file)| code(file.without_tests())).unwrap_or_default();
    let reexported = reexports(&root, &rooms);
    let mut found = Imports::new();
    for (module, file) in &modules {
        let Some(from) = module.first() else { continue };
        for path in paths(&code(file.without_tests())) {
            let path = absolute(module, &path);
            let Some(first) = path.first() else { continue };
            let room = if rooms.contains(first) { Some(first) } else { reexported.get(first) };
            let Some(to) = room.filter(|to| *to != from) else { continue };
            let place = || format!("{} uses {}", file.path, path.join("::"));
            found.entry((from.clone(), to.clone())).or_insert_with(place);
        }
    }
    found
}

/// The groups of rooms that can reach each other.
fn circles(imports: &Imports) -> Vec<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(room) = open.pop() {
            for (_, to) in imports.keys().filter(|(user, _)| user == room) {
                if seen.insert(to.clone()) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let rooms: BTreeSet<&String> = imports.keys().map(|(from, _)| from).collect();
    let reached: BTreeMap<&String, BTreeSet<String>> =
        rooms.iter().map(|room| (*room, reach(room))).collect();
    let mut found = BTreeSet::new();
    for room in rooms.iter().filter(|room| reached[**room].contains(**room)) {
        let back = |other: &&String| reached.get(*other).is_some_and(|all| all.contains(*room));
        found.insert(reached[*room].iter().filter(back).cloned().collect::<BTreeSet<_>>());
    }
    found.into_iter().collect()
}

#[test]
fn the_rooms_of_a_crate_use_each_other_in_no_circle() {
    let files = rust();
    let mut offences = Vec::new();
    for (_, folder, _) in EDGES {
        let inside = format!("{folder}/src/");
        let own: Vec<&Source> =
            files.iter().filter(|file| file.path.starts_with(&inside) && !file.is_test()).collect();
        let imports = imports(&own, folder);
        for circle in circles(&imports) {
            let rooms: Vec<&str> = circle.iter().map(String::as_str).collect();
            let within =
                |(from, to): &&(String, String)| circle.contains(from) && circle.contains(to);
            let places: Vec<String> =
                imports.keys().filter(within).map(|edge| imports[edge].clone()).collect();
            offences.push(format!("{folder}: {}\n    {}", rooms.join(", "), places.join("\n    ")));
        }
    }
    none("what two rooms need lies below both, so that they use each other in no circle", offences);
}

#[test]
fn a_circle_is_found() {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("kit/src/lib.rs", "mod a;\nmod b;\nmod c;\npub use b::{Deep, Other};\n"),
        file("kit/src/a.rs", "use crate::{\n    c::Thing,\n    Deep,\n};\n"),
        file("kit/src/b.rs", "// use crate::c;\nmod inner;\n"),
        file("kit/src/b/inner.rs", "fn f() { super::super::a::go(\"crate::c\") }\n"),
        file("kit/src/c.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}\n"),
    ];
    let files: Vec<&Source> = files.iter().collect();
    let imports = imports(&files, "kit");
    let edges: Vec<(&str, &str)> =
        imports.keys().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    assert_eq!(edges, [("a", "b"), ("a", "c"), ("b", "a")]);
    assert_eq!(circles(&imports), [BTreeSet::from(["a".to_owned(), "b".to_owned()])]);
}
