//! The modules of a crate, and what each may use of the others.

use super::{none, rust};

/// The use cases, which must not depend on any representation of them.
const APPLICATION: &str = "command-api/src/application";
/// Names that belong to HTTP or to one representation.
const OF_A_REPRESENTATION: &[&str] = &[
    "axum",
    "utoipa",
    "utoipa_axum",
    "tower",
    "tower_http",
    "hyper",
    "reqwest",
    "Problem",
    "ProblemBody",
    "FieldError",
    "StatusCode",
    "HeaderMap",
    "HeaderName",
    "HeaderValue",
];
/// The parts of service-kit that use cases may use. The rest serves HTTP.
const OF_SERVICE_KIT: &[&str] = &["clock"];

/// Why a line may not appear in the application.
fn offence(line: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut words = line.split(|c| !is_word(c));
    if let Some(word) = words.find(|word| OF_A_REPRESENTATION.contains(word)) {
        return Some(format!("names {word}"));
    }
    // Every path with this root.
    let beyond = |root: &str, allowed: &[&str]| {
        line.match_indices(root).find_map(|(at, _)| {
            let next = line[at + root.len()..].split(|c| !is_word(c)).next().unwrap_or_default();
            (!allowed.contains(&next)).then(|| format!("uses {root}{next}"))
        })
    };
    beyond("service_kit::", OF_SERVICE_KIT).or_else(|| beyond("crate::", &["application"]))
}

#[test]
fn use_cases_know_no_representation_of_them() {
    let mut offences = Vec::new();
    let mut files = 0;
    for file in rust().into_iter().filter(|file| file.path.starts_with(APPLICATION)) {
        files += 1;
        for (number, line) in file.text.lines().enumerate() {
            let offence = offence(line);
            offences.extend(offence.map(|why| format!("{}:{}: {why}", file.path, number + 1)));
        }
    }
    assert!(files > 0, "{APPLICATION} is not there");
    none("HTTP represents the application, which does not know it", offences);
}
