//! Refuses a projection that is not in the list of all: nobody would project it, and the build is
//! the first to know.

use std::error::Error;
use std::fs;

const FOLDER: &str = "src/projections";
const LIST: &str = "src/projections.rs";

fn main() -> Result<(), Box<dyn Error>> {
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
    Ok(())
}
