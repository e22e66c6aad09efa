//! Checks the lists of a registry and computes which stored types may become which current ones.

use std::collections::{BTreeSet, HashMap};

use super::{InvalidRegistry, Past, Registry, Shape, Step, Versions};
use crate::event::{EventType, STREAM_CLOSED};
use crate::subject::{SUBJECT_ERASED, SUBJECT_ERASED_VERSION};

/// The shapes that the store itself writes. Every registry knows them.
const OURS: [Shape; 2] = [(SUBJECT_ERASED, SUBJECT_ERASED_VERSION), (STREAM_CLOSED, 1)];

/// The types that a shape finally becomes.
type Ends = BTreeSet<EventType>;

pub(super) fn build(
    current: impl IntoIterator<Item = Shape>,
    past: impl IntoIterator<Item = Past>,
) -> Result<Registry, InvalidRegistry> {
    let mut types: HashMap<EventType, Versions> = HashMap::new();
    // Every program reads the events that the store itself writes.
    for (name, version) in current.into_iter().chain(OURS) {
        let event_type: EventType = name.parse()?;
        let versions = types.entry(event_type.clone()).or_default();
        if versions.current.replace(version).is_some() {
            return Err(InvalidRegistry::Twice(event_type, version));
        }
    }
    for ((name, version), into, upcast) in past {
        let event_type: EventType = name.parse()?;
        let into = into
            .iter()
            .map(|(name, version)| Ok((*name, name.parse()?, *version)))
            .collect::<Result<_, InvalidRegistry>>()?;
        let versions = types.entry(event_type.clone()).or_default();
        if versions.current == Some(version)
            || versions.past.insert(version, Step { into, upcast }).is_some()
        {
            return Err(InvalidRegistry::Twice(event_type, version));
        }
    }
    for (event_type, versions) in &types {
        check_versions(event_type, versions)?;
    }
    let stored_as = stored_as(&types)?;
    Ok(Registry { types, stored_as })
}

/// Checks that every version from 1 to the newest has an upcaster, except the current one.
fn check_versions(event_type: &EventType, versions: &Versions) -> Result<(), InvalidRegistry> {
    let newest_past = versions.past.keys().next_back().copied().unwrap_or(0);
    let end = versions.current.unwrap_or(newest_past + 1);
    if newest_past > end {
        return Err(InvalidRegistry::Newer(event_type.clone(), newest_past));
    }
    match (1..end).find(|version| !versions.past.contains_key(version)) {
        Some(version) => Err(InvalidRegistry::NoUpcaster(event_type.clone(), version)),
        None => Ok(()),
    }
}

fn stored_as(
    types: &HashMap<EventType, Versions>,
) -> Result<HashMap<EventType, BTreeSet<EventType>>, InvalidRegistry> {
    let mut stored_as: HashMap<EventType, BTreeSet<EventType>> = HashMap::new();
    for (event_type, versions) in types {
        for version in versions.past.keys().copied().chain(versions.current) {
            let mut ends = Ends::new();
            follow(types, (event_type, version), &mut Vec::new(), &mut ends)?;
            for end in ends {
                stored_as.entry(end).or_default().insert(event_type.clone());
            }
        }
    }
    Ok(stored_as)
}

/// Follows the upcasters of a shape to their final types; `path` holds the shapes on the way.
fn follow<'t>(
    types: &'t HashMap<EventType, Versions>,
    (event_type, version): (&'t EventType, i32),
    path: &mut Vec<(&'t EventType, i32)>,
    ends: &mut Ends,
) -> Result<(), InvalidRegistry> {
    if path.contains(&(event_type, version)) {
        return Err(InvalidRegistry::Circle(event_type.clone(), version));
    }
    let Some(step) = types.get(event_type).and_then(|versions| versions.past.get(&version)) else {
        ends.insert(event_type.clone());
        return Ok(());
    };
    path.push((event_type, version));
    for (_, next, next_version) in &step.into {
        let known = types
            .get(next)
            .is_some_and(|v| v.current == Some(*next_version) || v.past.contains_key(next_version));
        if !known {
            return Err(InvalidRegistry::Nowhere(
                event_type.clone(),
                version,
                next.clone(),
                *next_version,
            ));
        }
        follow(types, (next, *next_version), path, ends)?;
    }
    path.pop();
    Ok(())
}
