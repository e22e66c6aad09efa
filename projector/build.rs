//! Tells the checked SQL macros in which schemas a projection's unqualified table names are found:
//! the first generations', through the `search_path` of the database that `DATABASE_URL` names.
//! Without that variable there is nothing to do.

use std::error::Error;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=DATABASE_URL");
    println!("cargo::rerun-if-changed=src/projections");
    let Ok(url) = env::var("DATABASE_URL") else { return Ok(()) };
    let mut schemas = Vec::new();
    for entry in fs::read_dir("src/projections")? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_dir(), path.file_name().and_then(|n| n.to_str())) {
            schemas.push(format!("{name}_g1"));
        }
    }
    schemas.sort();
    let separator = if url.contains('?') { '&' } else { '?' };
    println!(
        "cargo::rustc-env=DATABASE_URL={url}{separator}options[search_path]={}",
        schemas.join(",")
    );
    Ok(())
}
