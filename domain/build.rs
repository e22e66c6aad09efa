//! Puts the kept schemas of events into the program. Those of former versions are nowhere else.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The folder of the kept schemas.
const FOLDER: &str = "schemas";

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed={FOLDER}");
    // At run time: a copy of the workspace may have got this program with the target folder.
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?;
    let folder = Path::new(&package).join(FOLDER);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    let entries = files.iter().filter_map(|path| {
        let name = path.file_stem()?.to_str()?;
        let path = path.to_str()?;
        Some(format!("    ({name:?}, include_str!({path:?})),\n"))
    });
    let list = format!("&[\n{}]\n", entries.collect::<Vec<_>>().concat());
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&out).join("kept_schemas.rs"), list)
}
