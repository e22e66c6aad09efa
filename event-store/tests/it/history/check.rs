//! The checks: a walk over the log and a walk over the moments.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Answer, Asked, Entry, History, Operation, Refused, Wanted};

/// A violated invariant and the evidence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// Returns every violation found.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut check = Check::new(history);
    check.log();
    check.outcomes();
    check.moments();
    check.keys();
    check.found
}

struct Check<'a> {
    history: &'a History,
    /// The index of each event in the log.
    place: HashMap<Uuid, usize>,
    /// The operation that asked for each event.
    owner: HashMap<Uuid, usize>,
    /// The positions of the events with each tag, ascending.
    tagged: HashMap<&'a str, Vec<i64>>,
    /// The indexes of each stream's events, in order.
    streams: HashMap<&'a str, Vec<usize>>,
    found: Vec<Violation>,
}

impl<'a> Check<'a> {
    fn new(history: &'a History) -> Self {
        let (mut place, mut owner) = (HashMap::new(), HashMap::new());
        let (mut tagged, mut streams) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        let mut found = Vec::new();
        for (at, entry) in history.log.iter().enumerate() {
            if let Some(before) = place.insert(entry.id, at) {
                let what = format!(
                    "event {} is at {} and at {}",
                    entry.id, history.log[before].position, entry.position
                );
                found.push(Violation { invariant: "I2", what });
            }
            for tag in &entry.tags {
                tagged.entry(tag.as_str()).or_default().push(entry.position);
            }
            streams.entry(entry.stream.as_str()).or_default().push(at);
        }
        for (number, operation) in history.operations.iter().enumerate() {
            owner.extend(
                operation.wanted().into_iter().flat_map(Wanted::ids).map(|id| (id, number)),
            );
        }
        Self { history, place, owner, tagged, streams, found }
    }

    fn violated(&mut self, invariant: &'static str, what: String) {
        self.found.push(Violation { invariant, what });
    }

    fn position(&self, id: Uuid) -> Option<i64> {
        self.place.get(&id).map(|at| self.history.log[*at].position)
    }

    fn owner_of(&self, entry: &Entry) -> Option<&'a Operation> {
        self.owner.get(&entry.id).map(|number| &self.history.operations[*number])
    }

    /// Checks I1 (dense positions and versions) and I5 (every event was requested).
    fn log(&mut self) {
        let mut versions = HashMap::<&str, i64>::new();
        for (entry, expected) in self.history.log.iter().zip(1..) {
            let version = versions.entry(entry.stream.as_str()).or_default();
            *version += 1;
            let version = *version;
            if entry.position != expected {
                self.violated(
                    "I1",
                    format!("position {} is where {expected} should be", entry.position),
                );
            }
            if entry.version != version {
                let what = format!(
                    "{} has version {} where {version} should be",
                    entry.stream, entry.version
                );
                self.violated("I1", what);
            }
            if self.owner_of(entry).is_none() {
                self.violated("I5", format!("nobody asked for the event at {}", entry.position));
            }
        }
    }

    /// Compares the answer of each append with the log.
    fn outcomes(&mut self) {
        for operation in &self.history.operations {
            let Some(wanted) = operation.wanted() else { continue };
            let positions: Vec<i64> = wanted.ids().filter_map(|id| self.position(id)).collect();
            let whole = positions.len() == wanted.ids().count()
                && positions.windows(2).all(|two| two[1] == two[0] + 1);
            match operation.answer() {
                Some(Answer::Appended(last)) => {
                    if !whole || positions.last() != Some(last) {
                        self.violated(
                            "I2",
                            format!(
                                "acknowledged up to {last}, found at {positions:?}: {wanted:?}"
                            ),
                        );
                    }
                }
                None | Some(Answer::Unknown(_)) => {
                    if !whole && !positions.is_empty() {
                        self.violated(
                            "I5",
                            format!(
                                "a part is there, at {positions:?}, without an answer: {wanted:?}"
                            ),
                        );
                    }
                }
                Some(answer) => {
                    if !positions.is_empty() {
                        self.violated(
                            "I5",
                            format!("answered {answer:?}, found at {positions:?}: {wanted:?}"),
                        );
                    }
                    if let Answer::Refused(refused) = answer {
                        self.refused(operation, wanted, refused);
                    }
                }
            }
            if let Some(first) = positions.first() {
                self.requirements(wanted, *first);
            }
        }
    }

    /// Checks I4 and the required versions.
    fn requirements(&mut self, wanted: &Wanted, first: i64) {
        for (stream, expected, ids) in &wanted.streams {
            let Some(version) = ids
                .first()
                .and_then(|id| self.place.get(id))
                .map(|at| self.history.log[*at].version)
            else {
                continue;
            };
            if expected.is_some_and(|expected| expected + 1 != version) {
                self.violated(
                    "I4",
                    format!("{stream} was to be at {expected:?} and was at {}", version - 1),
                );
            }
        }
        if let Some((tag, after)) = &wanted.condition {
            let all = self.tagged.get(tag.as_str()).map_or(&[][..], Vec::as_slice);
            let before = all.partition_point(|position| *position < first);
            if let Some(breaks) = all[..before].last().filter(|position| **position > *after) {
                let what = format!(
                    "the event at {breaks} has {tag} after {after}, and the append stands at \
                        {first}"
                );
                self.violated("I4", what);
            }
        }
    }

    /// Checks I5: a refusal states a fact, and one that held at that time.
    fn refused(&mut self, operation: &Operation, wanted: &Wanted, refused: &Refused) {
        let ended = operation.ended.as_ref().map_or(u64::MAX, |(at, _)| *at);
        let too_new = |entry: &Entry| self.owner_of(entry).is_some_and(|owner| owner.began > ended);
        let wrong = match refused {
            Refused::Version { stream, actual } => {
                let all = self.streams.get(stream.as_str()).map_or(&[][..], Vec::as_slice);
                let at = |version: i64| {
                    all.get(usize::try_from(version - 1).ok()?).map(|at| &self.history.log[*at])
                };
                let absent = *actual > 0 && at(*actual).is_none_or(too_new);
                let next = at(actual + 1).and_then(|entry| self.owner_of(entry)?.ended.as_ref());
                let old = next.is_some_and(|(ended, answer)| {
                    matches!(answer, Answer::Appended(_)) && *ended < operation.began
                });
                let met = wanted
                    .streams
                    .iter()
                    .any(|(name, expected, _)| name == stream && *expected == Some(*actual));
                absent || old || met
            }
            Refused::Condition { position } => {
                let entry =
                    usize::try_from(position - 1).ok().and_then(|at| self.history.log.get(at));
                let breaks = |entry: &Entry| {
                    wanted
                        .condition
                        .as_ref()
                        .is_some_and(|(tag, after)| position > after && entry.tags.contains(tag))
                };
                entry.is_none_or(|entry| !breaks(entry) || too_new(entry))
            }
            Refused::Other(_) => true,
        };
        if wrong {
            self.violated("I5", format!("refused for {refused:?}, which never was: {wanted:?}"));
        }
    }

    /// Checks I3 and I6: what any client knew before an append comes before it. A read is a prefix
    /// that has everything any client knew.
    fn moments(&mut self) {
        let mut moments: Vec<(u64, bool, usize)> = Vec::new();
        for (number, operation) in self.history.operations.iter().enumerate() {
            moments.push((operation.began, false, number));
            moments.extend(operation.ended.as_ref().map(|(at, _)| (*at, true, number)));
        }
        // At one instant, starts sort before ends: such operations may have overlapped.
        moments.sort_unstable();
        let mut known = 0;
        let mut floors = vec![0; self.history.operations.len()];
        for (_, ended, number) in moments {
            let operation = &self.history.operations[number];
            match operation.answer() {
                _ if !ended => floors[number] = known,
                Some(Answer::Appended(last)) => {
                    let first = operation
                        .wanted()
                        .and_then(|wanted| wanted.ids().next())
                        .and_then(|id| self.position(id));
                    if first.is_some_and(|first| first <= floors[number]) {
                        let what = format!(
                            "an append at {first:?} began when {} was known",
                            floors[number]
                        );
                        self.violated("I3", what);
                    }
                    known = known.max(*last);
                }
                Some(Answer::Repeated(last)) => known = known.max(*last),
                Some(Answer::Read(read)) => {
                    self.read(operation, read, floors[number]);
                    known = known.max(read.last().map_or(0, |(position, _)| *position));
                }
                _ => {}
            }
        }
    }

    fn read(&mut self, operation: &Operation, read: &[(i64, Uuid)], floor: i64) {
        let log = &self.history.log;
        let is_there = |(position, id): &(i64, Uuid)| {
            let entry = usize::try_from(position - 1).ok().and_then(|at| log.get(at));
            entry.is_some_and(|entry| entry.id == *id && entry.position == *position)
        };
        let expected = match &operation.asked {
            Asked::ReadLog(after) => {
                let dense = read
                    .iter()
                    .zip(after + 1..)
                    .all(|((position, _), expected)| *position == expected);
                dense && after + i64::try_from(read.len()).unwrap_or(i64::MAX) >= floor
            }
            Asked::ReadTag(tag) => {
                let all = self.tagged.get(tag.as_str()).map_or(&[][..], Vec::as_slice);
                let prefix = read.len() <= all.len()
                    && read.iter().zip(all).all(|((position, _), expected)| position == expected);
                prefix && read.len() >= all.partition_point(|position| *position <= floor)
            }
            Asked::Append(_) => false,
        };
        if !expected || !read.iter().all(is_there) {
            let what = format!(
                "{:?} gave {} events up to {:?}, when {floor} was known",
                operation.asked,
                read.len(),
                read.last()
            );
            self.violated("I6", what);
        }
    }

    /// Checks I12: each key has one effect, and every repeat names it.
    fn keys(&mut self) {
        let mut made = HashMap::<u64, Vec<i64>>::new();
        for wanted in self.history.operations.iter().filter_map(Operation::wanted) {
            let last = wanted.ids().last().and_then(|id| self.position(id));
            if let (Some(key), Some(last)) = (wanted.key, last) {
                made.entry(key).or_default().push(last);
            }
        }
        for operation in &self.history.operations {
            if let (Some(Answer::Repeated(last)), Some(key)) =
                (operation.answer(), operation.wanted().and_then(|w| w.key))
                && made.get(&key).is_none_or(|made| made != &[*last])
            {
                self.violated(
                    "I12",
                    format!(
                        "key {key} was repeated as at {last}, and took effect at {:?}",
                        made.get(&key)
                    ),
                );
            }
        }
        for (key, made) in made.into_iter().filter(|(_, made)| made.len() > 1) {
            self.violated("I12", format!("key {key} took effect at {made:?}"));
        }
    }
}
