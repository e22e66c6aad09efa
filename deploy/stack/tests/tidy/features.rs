//! A crate asks for what it uses: another crate of the workspace may ask for it today and not
//! tomorrow.

use super::{EDGES, manifest, none, rust};

/// What only tokio's feature `test-util` has.
const PAUSED_TIME: &[&str] = &["start_paused", "time::pause(", "time::advance("];

#[test]
fn a_crate_whose_tests_stop_the_clock_asks_for_what_stops_it() {
    let mut offences = Vec::new();
    for (name, folder, _) in EDGES {
        let inside = format!("{folder}/");
        let uses = |text: &str| PAUSED_TIME.iter().any(|word| text.contains(word));
        // The stack's folder has this rule, which only names the words.
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
