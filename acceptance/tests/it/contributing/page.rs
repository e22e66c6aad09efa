//! Reads the walkthrough in CONTRIBUTING and makes its changes in a tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::copies::write_if_changed;

/// Where the block of an edit goes, in relation to the line that the page names.
const BELOW: &str = "below";
const ABOVE: &str = "above";
const INSTEAD: &str = "instead of";

/// A file that the page makes or changes, with the code block that belongs to it.
struct Step<'p> {
    file: &'p str,
    /// Where the block goes, and the line that is there. A new file has none.
    place: Option<(&'static str, &'p str)>,
    block: String,
}

/// Makes the changes that these sections of the page describe, and returns the files that they
/// name. A section is named by its heading.
pub(super) fn follow(page: &str, sections: &[&str], tree: &Path) -> Result<BTreeSet<String>> {
    let mut changed = BTreeSet::new();
    for heading in sections {
        for step in steps(section(page, heading)?)? {
            let path = tree.join(step.file);
            let text = match step.place {
                None => {
                    ensure!(!path.exists(), "{} is there already", step.file);
                    step.block
                }
                Some(place) => edited(&fs::read_to_string(&path)?, place, &step.block)
                    .with_context(|| format!("{} has no line {:?}", step.file, place.1))?,
            };
            write_if_changed(&path, text.as_bytes())?;
            changed.insert(step.file.to_owned());
        }
    }
    Ok(changed)
}

/// The text below a heading of the second level, up to the next one.
fn section<'p>(page: &'p str, heading: &str) -> Result<&'p str> {
    let rest = page.split_once(&format!("\n## {heading}\n"));
    let (_, rest) = rest.with_context(|| format!("the page has no section {heading:?}"))?;
    Ok(rest.split("\n## ").next().unwrap_or(rest))
}

fn steps(section: &str) -> Result<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("New file `") && !line.starts_with("In `") {
            continue;
        }
        // The paragraph, which may be of several lines.
        let rest = lines.by_ref().take_while(|line| !line.is_empty());
        let head: Vec<&str> = std::iter::once(line).chain(rest).collect();
        let words = head.join(" ");
        let places = [BELOW, ABOVE, INSTEAD];
        let how = places.into_iter().find(|how| words.contains(&format!("`, {how} `")));
        let is_new = line.starts_with("New");
        if !is_new && how.is_none() {
            continue;
        }
        let mut quoted = head.iter().flat_map(|line| line.split('`').skip(1).step_by(2));
        let file = quoted.next().context("a file's name")?;
        let place = match how.filter(|_| !is_new) {
            Some(how) => Some((how, quoted.next().context("a line of the file")?)),
            None => None,
        };
        ensure!(lines.next().is_some_and(|fence| fence.starts_with("```")), "{file} has no block");
        let block = lines.by_ref().take_while(|line| *line != "```");
        let block = block.flat_map(|line| [line, "\n"]).collect();
        steps.push(Step { file, place, block });
    }
    Ok(steps)
}

/// The text with a block at a line of it, or `None` if it has no such line.
fn edited(text: &str, (how, line): (&str, &str), block: &str) -> Option<String> {
    let line = format!("{line}\n");
    let starts = text.match_indices(&line).map(|(at, _)| at);
    let start = starts.into_iter().find(|at| *at == 0 || text[..*at].ends_with('\n'))?;
    let end = start + line.len();
    let (before, after) = match how {
        BELOW => (end, end),
        ABOVE => (start, start),
        _ => (start, end),
    };
    Some([&text[..before], block, &text[after..]].concat())
}

#[test]
fn the_steps_of_a_page_are_followed() -> Result<()> {
    let page = "# P\n\n## One\n\nText.\n\nNew file `a/b.rs`:\n\n```rust\nx\n\ny\n```\n\n\
        In `a/b.rs`, below `x`:\n\n```rust\nz\n```\n\nIn `a/b.rs`, above\n`x`:\n\n```\nw\n```\n\n\
        ## Two\n\nIn `a/b.rs`, instead of `y`:\n\n```rust\nv\n```\n\n## Three\n";
    let tree = tempfile::tempdir()?;
    let changed = follow(page, &["One", "Two"], tree.path())?;
    assert_eq!(changed, BTreeSet::from(["a/b.rs".to_owned()]));
    assert_eq!(fs::read_to_string(tree.path().join("a/b.rs"))?, "w\nx\nz\n\nv\n");
    assert!(follow(page, &["Four"], tree.path()).is_err());
    assert!(follow(page, &["Two"], tree.path()).is_err(), "the line is gone");
    Ok(())
}
