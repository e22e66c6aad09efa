//! Each crate declares the dependencies and features that it uses, and no others. It must not rely
//! on another crate of the workspace to enable them.

use super::{EDGES, dependencies, files, manifest, none, rust};

/// Names that only tokio's feature `test-util` provides.
const PAUSED_TIME: &[&str] = &["start_paused", "time::pause(", "time::advance("];

/// Dependencies declared only to enable a feature of a crate beneath them.
const FOR_A_FEATURE: &[&str] = &["aes", "polyval"];

#[test]
fn every_dependency_is_used_by_the_crate_that_asks_for_it() {
    let mut offences = Vec::new();
    for (name, folder, _) in EDGES {
        let inside = format!("{folder}/");
        let code: Vec<String> = files()
            .into_iter()
            .filter(|file| file.path.starts_with(&inside))
            .filter(|file| [".rs", ".md"].iter().any(|end| file.path.ends_with(end)))
            .map(|file| file.text)
            .collect();
        let manifest = manifest(folder);
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for dependency in dependencies(&manifest, kind) {
                let word = dependency.replace('-', "_");
                let is_used = code.iter().any(|text| names(text, &word));
                if !is_used && !FOR_A_FEATURE.contains(&dependency.as_str()) {
                    offences.push(format!("{name}: {dependency} ({kind}) is not used"));
                }
            }
        }
    }
    none("a crate asks for nothing that it does not use", offences);
}

/// Whether a text contains this word.
fn names(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

#[test]
fn a_crate_whose_tests_stop_the_clock_asks_for_what_stops_it() {
    let mut offences = Vec::new();
    for (name, folder, _) in EDGES {
        let inside = format!("{folder}/");
        let uses = |text: &str| PAUSED_TIME.iter().any(|word| text.contains(word));
        // This file is excluded, because it only names the words.
        let others =
            rust().into_iter().filter(|file| file.path != "deploy/stack/tests/tidy/features.rs");
        let stops =
            others.into_iter().any(|file| file.path.starts_with(&inside) && uses(&file.text));
        let manifest = manifest(folder);
        let features = manifest
            .get("dev-dependencies")
            .and_then(|tests| tests.get("tokio")?.get("features")?.as_array());
        let asks = features.is_some_and(|features| {
            features.iter().any(|feature| feature.as_str() == Some("test-util"))
        });
        if stops && !asks {
            offences.push(format!("{name}: tokio's test-util is not among its dev-dependencies"));
        }
    }
    none("each crate's tests build alone", offences);
}
