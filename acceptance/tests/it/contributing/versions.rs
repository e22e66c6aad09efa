//! Adds a second version of an event that an existing projection reads, as CONTRIBUTING describes.
//! The page's own example does the same for the new aggregate.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const PAST: &str = "
    ((\"product.repriced\", 1), &[(\"product.repriced\", 2)], |data| {
        Ok(vec![(\"product.repriced\", data)])
    }),";

/// Raises the version in the tree.
pub(super) fn change(tree: &Path) -> Result<()> {
    raise(tree, "domain/src/product/event.rs", "product", "product.repriced")?;
    let begin = "pub const PAST: &[Past] = &[";
    replace(tree, "domain/src/history.rs", &format!("{begin}\n"), &format!("{begin}{PAST}\n"))?;
    let projections = tree.join("projector/src/projections");
    let now = fold_version(&fs::read_to_string(projections.join("products.rs"))?)?;
    let next = now.checked_add(1).context("another fold version")?;
    let version = |number| format!("const FOLD_VERSION: i32 = {number};");
    replace(&projections, "products.rs", &version(now), &version(next))?;
    let reads = "products/reads.txt";
    let line = |number| format!("fold version {number}\n");
    replace(&projections, reads, &line(now), &line(next))?;
    let (before, after) = ("product.repriced v1 written\n", "product.repriced v2 written\n");
    let upcast = "product.repriced v1 upcast\n";
    replace(&projections, reads, before, &format!("{upcast}{after}"))
}

/// The fold version in the source of a projection.
fn fold_version(source: &str) -> Result<i32> {
    let (_, rest) = source.split_once("const FOLD_VERSION: i32 = ").context("a fold version")?;
    let (number, _) = rest.split_once(';').context("the end of the fold version")?;
    Ok(number.parse()?)
}

/// Adds a version 2 with the same shape, and an upcaster for version 1.
fn raise(tree: &Path, file: &str, category: &str, event_type: &str) -> Result<()> {
    let (old, new) = (format!("=> \"{event_type}\", 1;"), format!("=> \"{event_type}\", 2;"));
    replace(tree, file, &old, &new)?;
    let golden = tree.join(format!("domain/src/{category}/golden/events.json"));
    let mut entries: Value = serde_json::from_str(&fs::read_to_string(&golden)?)?;
    let entries_now = entries.as_object_mut().context("the golden events are an object")?;
    let first = format!("{event_type} v1");
    let mut former = entries_now.get(&first).context("the golden event")?.clone();
    entries_now.insert(format!("{event_type} v2"), former.clone());
    let fields = former.as_object_mut().context("a golden entry is an object")?;
    fields.remove("shape");
    let becomes = json!([{"type": event_type, "version": 2, "data": fields["data"]}]);
    fields.insert("becomes".to_owned(), becomes);
    entries_now.insert(first, former);
    fs::write(golden, entries.to_string())?;
    Ok(())
}

fn replace(folder: &Path, file: &str, old: &str, new: &str) -> Result<()> {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
    ensure!(text.contains(old), "{file} does not say {old:?}");
    Ok(fs::write(&path, text.replacen(old, new, 1))?)
}
