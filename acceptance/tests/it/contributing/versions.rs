//! Adds a second version of two events, as CONTRIBUTING describes. One belongs to the new aggregate
//! and its new projection, the other to a projection with existing history.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const COUPONS: &str = "fold version 1
coupon.issued v1 upcast
coupon.issued v2 written
";
const PRODUCTS: &str = "fold version 2
product.added v1 written
product.renamed v1 written
product.repriced v1 upcast
product.repriced v2 written
product.stock_adjusted v1 written
";
const PAST: &str = "pub const PAST: &[Past] = &[
    ((\"coupon.issued\", 1), &[(\"coupon.issued\", 2)], |data| Ok(vec![(\"coupon.issued\", data)])),
    ((\"product.repriced\", 1), &[(\"product.repriced\", 2)], |data| {
        Ok(vec![(\"product.repriced\", data)])
    }),
];";

/// Raises the versions in the tree.
pub(super) fn change(tree: &Path) -> Result<()> {
    raise(tree, "domain/src/coupon.rs", "coupon", "coupon.issued")?;
    raise(tree, "domain/src/product/event.rs", "product", "product.repriced")?;
    replace(tree, "domain/src/history.rs", "pub const PAST: &[Past] = &[];", PAST)?;
    let projections = tree.join("projector/src/projections");
    let version = |number| format!("const FOLD_VERSION: i32 = {number};");
    replace(&projections, "products.rs", &version(1), &version(2))?;
    fs::write(projections.join("products/reads.txt"), PRODUCTS)?;
    fs::create_dir_all(projections.join("coupons"))?;
    fs::write(projections.join("coupons/reads.txt"), COUPONS)?;
    Ok(())
}

/// Adds a version 2 with the same shape, and an upcaster for version 1.
fn raise(tree: &Path, file: &str, category: &str, event_type: &str) -> Result<()> {
    let (old, new) = (format!("=> \"{event_type}\", 1;"), format!("=> \"{event_type}\", 2;"));
    replace(tree, file, &old, &new)?;
    let golden =
        |version| tree.join(format!("domain/src/{category}/golden/{event_type}.v{version}.json"));
    let mut first: Value = serde_json::from_str(&fs::read_to_string(golden(1))?)?;
    fs::write(golden(2), first.to_string())?;
    let fields = first.as_object_mut().context("a golden file is an object")?;
    fields.remove("shape");
    let becomes = json!([{"type": event_type, "version": 2, "data": fields["data"]}]);
    fields.insert("becomes".to_owned(), becomes);
    fs::write(golden(1), first.to_string())?;
    Ok(())
}

fn replace(folder: &Path, file: &str, old: &str, new: &str) -> Result<()> {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
    ensure!(text.contains(old), "{file} does not say {old:?}");
    Ok(fs::write(&path, text.replacen(old, new, 1))?)
}
