//! Prints the size of each crate, to compare before and after a change:
//! `cargo test -p stack --test tidy -- --nocapture numbers`.

use super::lengths::{functions, sql_functions};
use super::{EDGES, Source, files};

/// The sizes in one folder. Lines are production code, including blank lines.
#[derive(Default)]
struct Numbers {
    /// The line count of each file.
    files: Vec<usize>,
    /// The line count of each function.
    functions: Vec<usize>,
    /// The number of doc comment lines.
    docs: usize,
    /// The number of test lines.
    tests: usize,
}

impl Numbers {
    fn add_rust(&mut self, file: &Source) {
        let all = file.text.lines().count();
        if file.is_test() {
            self.tests += all;
            return;
        }
        let production = file.without_tests();
        let lines = production.lines().count();
        let is_doc =
            |line: &&str| ["///", "//!"].iter().any(|doc| line.trim_start().starts_with(doc));
        self.files.push(lines);
        self.functions.extend(functions(production).into_iter().map(|(_, length)| length));
        self.docs += production.lines().filter(is_doc).count();
        self.tests += all - lines;
    }

    fn add_sql(&mut self, file: &Source) {
        self.files.push(file.text.lines().count());
        self.functions.extend(sql_functions(&file.text).into_iter().map(|(_, length)| length));
        self.docs += file.text.lines().filter(|line| line.trim_start().starts_with("--")).count();
    }

    fn join(&mut self, other: &Self) {
        self.files.extend(&other.files);
        self.functions.extend(&other.functions);
        self.docs += other.docs;
        self.tests += other.tests;
    }

    fn print(&self, name: &str) {
        let lines: usize = self.files.iter().sum();
        eprintln!(
            "{name:<14} {:>5} {lines:>7} {:>15} {:>9} {:>12} {:>5} % {:>6}.{:02}",
            self.files.len(),
            spread(&self.files),
            self.functions.len(),
            spread(&self.functions),
            100 * self.docs / lines.max(1),
            self.tests / lines.max(1),
            100 * self.tests / lines.max(1) % 100,
        );
    }
}

/// Formats the median, the 90th percentile and the maximum.
fn spread(lengths: &[usize]) -> String {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| sorted.get(sorted.len().saturating_sub(1) * percent / 100);
    let numbers = [at(50), at(90), at(100)].map(|length| length.map_or(0, |length| *length));
    format!("{}/{}/{}", numbers[0], numbers[1], numbers[2])
}

/// The innermost crate that contains a file.
fn crate_of(path: &str) -> Option<&'static str> {
    let folders = EDGES.iter().filter(|(_, folder, _)| path.starts_with(&format!("{folder}/")));
    folders.map(|(name, ..)| *name).next()
}

#[test]
fn numbers() {
    let files = files();
    eprintln!(
        "\n{:<14} {:>5} {:>7} {:>15} {:>9} {:>12} {:>7} {:>9}",
        "", "files", "lines", "median/p90/max", "functions", "med/p90/max", "docs", "tests:1"
    );
    let mut all = Numbers::default();
    for (name, ..) in EDGES {
        let mut numbers = Numbers::default();
        let rust = files.iter().filter(|file| file.has_extension("rs"));
        rust.filter(|file| crate_of(&file.path) == Some(name))
            .for_each(|file| numbers.add_rust(file));
        assert!(!numbers.files.is_empty(), "{name} has no file of production code");
        assert!(!numbers.functions.is_empty(), "no function of {name} is found");
        numbers.print(name);
        all.join(&numbers);
    }
    all.print("all Rust");
    let mut migrations = Numbers::default();
    let is_migration =
        |file: &&Source| file.path.starts_with("migrations/") && file.has_extension("sql");
    files.iter().filter(is_migration).for_each(|file| migrations.add_sql(file));
    migrations.print("migrations");
}

#[test]
fn a_spread_is_median_percentile_and_maximum() {
    let to = |last: usize| (1..=last).rev().collect::<Vec<_>>();
    assert_eq!(spread(&to(101)), "51/91/101");
    assert_eq!(spread(&to(1)), "1/1/1");
    assert_eq!(spread(&[]), "0/0/0");
}
