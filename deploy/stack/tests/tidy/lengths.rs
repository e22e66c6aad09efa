//! The maximum lengths of files, functions and lines, in Rust and in SQL.

use std::path::Path;

use super::{Source, files, none, rust};

/// The maximum number of lines of a file without its tests.
const FILE_STOP: usize = 400;
/// The maximum number of lines of a function in Rust or SQL, from its head to its last brace.
const FUNCTION_STOP: usize = 70;
/// The maximum number of characters of a line.
const LINE_STOP: usize = 100;

/// SQL functions that may be longer, with reasons.
const LONG_SQL_FUNCTIONS: &[(&str, &str)] = &[
    (
        "event_store.append_batch",
        "decides and writes a whole batch under the lock on the log: a statement has a fixed cost \
        and so has a call, so that each function split off would be paid for by every append",
    ),
    (
        "event_store.append",
        "looks at conditions before the lock and passes its 35 arrays on: another call would copy \
        them once more",
    ),
    (
        "event_store.append_plain_batch",
        "the same for the common batch: three statements under the lock, with nothing to call",
    ),
];

/// The file types whose line lengths are checked.
const MEASURED: &[&str] = &["rs", "sql", "toml", "yml", "yaml", "md"];
/// The number of longer lines per file, with reasons.
const LONG_LINES: &[(&str, usize, &str)] = &[
    ("formats/src/email.rs", 1, "a regular expression"),
    ("service-kit/src/input/time.rs", 2, "regular expressions"),
    ("service-kit/src/input/time/tests.rs", 1, "a regular expression"),
];
/// Files and folders that are not wrapped yet, because they are being rewritten or moved.
const TO_BE_WRAPPED: &[&str] =
    &["ARCHITECTURE.md", "README.md", "event-store/src/guide.md", "projector/src/"];

fn ends_with(path: &str, endings: &[&str]) -> bool {
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| endings.contains(&ending))
}

#[test]
fn files_and_functions_stay_short() {
    let mut offences = Vec::new();
    for file in rust() {
        let lines = file.without_tests().lines().count();
        if lines > FILE_STOP && !file.is_test() {
            offences.push(format!(
                "{}: {lines} lines without tests, {FILE_STOP} is the stop",
                file.path
            ));
        }
        offences.extend(too_long(&file, functions(&file.text)));
    }
    none("past the stop, split by meaning", offences);
}

#[test]
fn sql_functions_stay_short() {
    let sql: Vec<Source> =
        files().into_iter().filter(|file| ends_with(&file.path, &["sql"])).collect();
    let is_listed = |name: &str| LONG_SQL_FUNCTIONS.iter().any(|(listed, _)| *listed == name);
    let mut offences = Vec::new();
    let mut long = Vec::new();
    for file in &sql {
        let (listed, others): (Vec<_>, Vec<_>) =
            sql_functions(&file.text).into_iter().partition(|(name, _)| is_listed(name));
        offences.extend(too_long(file, others));
        long.extend(listed.into_iter().filter(|(_, length)| *length > FUNCTION_STOP));
    }
    let is_long = |name: &str| long.iter().any(|(found, _)| found == name);
    let needless = LONG_SQL_FUNCTIONS.iter().filter(|(name, _)| !is_long(name));
    offences.extend(needless.map(|(name, _)| format!("{name} is listed and is not long")));
    none("past the stop, split by meaning", offences);
}

fn too_long(file: &Source, functions: Vec<(String, usize)>) -> impl Iterator<Item = String> {
    let long = functions.into_iter().filter(|(_, length)| *length > FUNCTION_STOP);
    let path = file.path.clone();
    long.map(move |(name, length)| {
        format!("{path}: {name} has {length} lines, {FUNCTION_STOP} is the stop")
    })
}

/// The functions with a body, and their lengths. In formatted code, a function's last brace has the
/// function's own indentation.
pub(crate) fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(at, line)| {
        let code = line.trim_start();
        let words: Vec<&str> =
            code.split_whitespace().take_while(|word| !word.contains('(')).collect();
        let modifier =
            |word: &str| matches!(word, "async" | "const" | "unsafe") || word.starts_with("pub");
        let is_fn = code.split_whitespace().find(|word| !modifier(word)) == Some("fn");
        (is_fn && words.len() <= 4).then_some((at, line.len() - code.len()))
    });
    let functions = starts.filter_map(|(start, indent)| {
        let name = lines[start].trim().split("fn ").nth(1)?.split(['(', '<']).next()?.to_owned();
        let head =
            lines[start..].iter().position(|line| line.trim_end().ends_with(['{', ';', '}']));
        let head = start + head?;
        match lines[head].trim_end().chars().last()? {
            // A declaration in a trait.
            ';' => None,
            '}' => Some((name, head - start + 1)),
            _ => {
                let brace = format!("{}}}", " ".repeat(indent));
                let end = lines[head..].iter().position(|line| line.trim_end() == brace)?;
                Some((name, head - start + end + 1))
            }
        }
    });
    functions.collect()
}

/// The functions and procedures that an SQL text creates, and their lengths: from the head to the
/// end of the body between two equal dollar quotes.
pub(crate) fn sql_functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(at, line)| {
        let mut words = line.split_whitespace().peekable();
        words.next().filter(|word| word.eq_ignore_ascii_case("create"))?;
        if words.next_if(|word| word.eq_ignore_ascii_case("or")).is_some() {
            words.next().filter(|word| word.eq_ignore_ascii_case("replace"))?;
        }
        words.next().filter(|word| {
            ["function", "procedure"].iter().any(|kind| word.eq_ignore_ascii_case(kind))
        })?;
        Some((at, words.next()?.split('(').next()?.to_owned()))
    });
    let functions = starts.map(|(start, name)| {
        let rest = lines[start..].iter().enumerate();
        let mut quotes = rest.filter_map(|(at, line)| Some((at, dollar_quote(line)?)));
        let end = quotes.next().and_then(|(opened, quote)| {
            let both = lines[start + opened].matches(quote).count() == 2;
            if both { Some(opened) } else { quotes.find(|(_, other)| *other == quote).map(|q| q.0) }
        });
        // A function without a body in dollar quotes counts as too long.
        (name, end.map_or(usize::MAX, |end| end + 1))
    });
    functions.collect()
}

/// The first `$…$` of a line.
fn dollar_quote(line: &str) -> Option<&str> {
    let code = line.split("--").next()?;
    let start = code.find('$')?;
    let length = code[start + 1..].find('$')?;
    let tag = &code[start + 1..start + 1 + length];
    let is_tag = tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_tag.then(|| &code[start..=start + 1 + length])
}

#[test]
fn the_length_of_a_function_is_that_of_its_own_lines() {
    let rust = "fn short() {}\n\ntrait T {\n    fn declared(\n        &self,\n    ) -> u8;\n\n    \
        fn three(&self) {\n        self.declared();\n    }\n}\n";
    assert_eq!(functions(rust), [("short".to_owned(), 1), ("three".to_owned(), 3)]);
    let sql = "CREATE TABLE t (f text);\ncreate or replace function s.f(a int)\nreturns int AS \
        $f$\n  SELECT '$$'\n$f$;\nCREATE PROCEDURE p() AS $$ SELECT 1 $$;\nCREATE FUNCTION open()\
        \nAS $$ BEGIN\n";
    let found = sql_functions(sql);
    assert_eq!(
        found,
        [("s.f".to_owned(), 4), ("p".to_owned(), 1), ("open".to_owned(), usize::MAX)],
    );
}

#[test]
fn lines_stay_short() {
    let mut offences = Vec::new();
    for file in files().into_iter().filter(|file| ends_with(&file.path, MEASURED)) {
        if TO_BE_WRAPPED.iter().any(|path| file.path.starts_with(path)) {
            continue;
        }
        let long = file.text.lines().enumerate().filter_map(|(at, line)| {
            let length = line.chars().count();
            (length > LINE_STOP).then(|| format!("{}:{}: {length} characters", file.path, at + 1))
        });
        let long: Vec<String> = long.collect();
        let listed = LONG_LINES.iter().find(|(path, ..)| *path == file.path);
        let expected = listed.map_or(0, |(_, count, _)| *count);
        if long.len() > expected {
            offences.extend(long);
        } else if long.len() < expected {
            offences.push(format!(
                "{}: {expected} long lines are listed, found {}",
                file.path,
                long.len()
            ));
        }
    }
    none("a line has at most 100 characters", offences);
}
