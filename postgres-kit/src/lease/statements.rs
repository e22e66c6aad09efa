//! The statements of each lease table are files of their own, because they are checked when the
//! program is built. They have to say the same.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

#[test]
fn the_leases_of_sagas_and_webhooks_work_as_those_of_projections() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let statements = |schema: &str| {
        let files = fs::read_dir(folder.join(schema)).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = files
            .map(|file| {
                let text = fs::read_to_string(&file).unwrap().replace(schema, "{schema}");
                (file.file_name().unwrap().to_owned(), text)
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(statements("saga"), statements("read_model"));
    assert_eq!(statements("webhooks"), statements("read_model"));
}
