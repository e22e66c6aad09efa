//! Tells the checked SQL macros in which schemas a projection's unqualified table names are found:
//! the first generations', through the `search_path` of the database that `DATABASE_URL` names.
//!
//! Refuses a projection that is not in the list of all: nobody would project it, and the build is
//! the first to know.

use std::error::Error;
use std::{env, fs};

const FOLDER: &str = "src/projections";
const LIST: &str = "src/projections.rs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=DATABASE_URL");
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed={LIST}");
    let mut names = Vec::new();
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_dir(), path.file_name().and_then(|n| n.to_str())) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let list = fs::read_to_string(LIST)?;
    for name in &names {
        if !list.contains(&format!("of::<{name}::")) {
            println!(
                "cargo::error={FOLDER}/{name} is there, but nobody projects it: add `pub mod \
                {name};` and, to `all()`, `of::<{name}::…>(),` to {LIST}"
            );
        }
    }
    let Ok(url) = env::var("DATABASE_URL") else { return Ok(()) };
    let schemas: Vec<String> = names.iter().map(|name| format!("{name}_g1")).collect();
    let separator = if url.contains('?') { '&' } else { '?' };
    println!(
        "cargo::rustc-env=DATABASE_URL={url}{separator}options[search_path]={}",
        schemas.join(",")
    );
    Ok(())
}
