//! Where the fold continues when another program takes it over.
//!
//! A new version of a program may know a saga that the old one does not. While the old one folds,
//! no process notices what starts that saga. So the checkpoint says which sagas were folded, and
//! how far each of the others was. A program that knows one of those folds again from there, which
//! repeats nothing: an instance has its stream, and its id follows from its key.

use std::collections::{BTreeMap, BTreeSet};

/// How far the log was folded, as the checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folded {
    /// The position up to which `sagas` were folded.
    pub(super) position: i64,
    /// The sagas that its last owner knew.
    pub(super) sagas: BTreeSet<String>,
    /// How far each saga was folded that its last owner did not know.
    pub(super) behind: BTreeMap<String, i64>,
}

impl Folded {
    /// The same for an owner that knows these sagas, each with the position at which it begins.
    pub(super) fn taken_by(&self, known: &BTreeMap<&'static str, i64>) -> Self {
        let mut behind = self.behind.clone();
        for left in self.sagas.iter().filter(|saga| !known.contains_key(saga.as_str())) {
            behind.insert(left.clone(), self.position);
        }
        let mut position = self.position;
        for (saga, begin) in known {
            if !self.sagas.contains(*saga) {
                position = position.min(behind.remove(*saga).unwrap_or(*begin));
            }
        }
        let sagas = known.keys().map(|saga| (*saga).to_owned()).collect();
        Self { position, sagas, behind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(position: i64, sagas: &[&str], behind: &[(&str, i64)]) -> Folded {
        Folded {
            position,
            sagas: sagas.iter().map(ToString::to_string).collect(),
            behind: behind.iter().map(|(saga, at)| ((*saga).to_owned(), *at)).collect(),
        }
    }

    #[test]
    fn the_same_sagas_continue_where_they_were() {
        let before = folded(50, &["a", "b"], &[]);
        assert_eq!(before.taken_by(&BTreeMap::from([("a", 3), ("b", 40)])), before);
    }

    #[test]
    fn a_saga_that_the_last_owner_did_not_know_is_folded_from_where_it_was() {
        let new = BTreeMap::from([("a", 3), ("b", 40)]);
        // It never was, so it begins.
        assert_eq!(folded(50, &["a"], &[]).taken_by(&new), folded(40, &["a", "b"], &[]));
        // It begins later than the fold is.
        assert_eq!(folded(30, &["a"], &[]).taken_by(&new), folded(30, &["a", "b"], &[]));
        // An old program folds for a while.
        let old = folded(60, &["a", "b"], &[]).taken_by(&BTreeMap::from([("a", 3)]));
        assert_eq!(old, folded(60, &["a"], &[("b", 60)]));
        let later = Folded { position: 90, ..old };
        assert_eq!(later.taken_by(&new), folded(60, &["a", "b"], &[]));
    }
}
