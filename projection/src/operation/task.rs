//! What can be asked for, and with which arguments. The arguments have the names that they have on
//! the command line.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::FieldError;
use service_kit::input::Integer;

use crate::projection::{AnyProjection, MAX_PARTITIONS};

/// The longest time that a switch may be tried, in seconds.
const MAX_PATIENCE: i64 = 3_600;
/// The longest wait for the outcome of a retry, in seconds.
const MAX_WAIT: i64 = 3_600;
/// The most memory that folded rows may take, in MiB.
const MAX_MEMORY: i64 = 16_384;
/// The most characters of a sample's seed.
const MAX_SEED: usize = 100;

/// Declares the kinds once: each with its name and its arguments.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident($arguments:ty) => $name:literal),+ $(,)?) => {
        /// What kind of thing is asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])+ $kind,)+ }

        /// What is asked for, with its arguments.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Task { $($(#[$doc])+ $kind($arguments),)+ }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// What it is called.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }

        impl Task {
            /// Its kind, as requests name it.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)+ }
            }

            /// Its arguments as JSON.
            ///
            /// # Errors
            /// They are no JSON.
            pub fn arguments(&self) -> serde_json::Result<Value> {
                match self { $(Self::$kind(arguments) => serde_json::to_value(arguments),)+ }
            }

            /// Reads what [`Task::arguments`] wrote.
            ///
            /// # Errors
            /// They are not the arguments of this kind.
            pub fn read(kind: Kind, arguments: Value) -> serde_json::Result<Self> {
                match kind {
                    $(Kind::$kind => serde_json::from_value(arguments).map(Self::$kind),)+
                }
            }
        }
    };
}

kinds! {
    /// Make the next generation, compare it with the live one, and let it take its place.
    Rebuild(RebuildArguments) => "rebuild",
    /// Fold the log again and compare with the live rows.
    Verify(VerifyArguments) => "verify",
    /// Let queries see another generation that is built.
    Switch(SwitchArguments) => "switch",
    /// Remove a generation that queries do not see.
    Drop(DropArguments) => "drop",
    /// Stop projecting until somebody resumes it.
    Pause(NoArguments) => "pause",
    /// Go on with a paused projection.
    Resume(NoArguments) => "resume",
    /// Try parked events again now.
    ParkedRetry(ParkedRetryArguments) => "parked_retry",
    /// Decide that a parked event is never to count.
    ParkedSkip(ParkedSkipArguments) => "parked_skip",
}

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// Whether it reads the whole log: a process does one such thing at a time.
    pub(crate) const fn is_long(self) -> bool {
        matches!(self, Self::Rebuild | Self::Verify | Self::Switch)
    }
}

/// Of a rebuild.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices of a person")]
pub struct RebuildArguments {
    /// Go on with a rebuild that was paused, cancelled, or not to switch.
    pub resume: bool,
    /// Into how many partitions the keys are split; as before, unless said.
    pub partitions: Option<Integer>,
    /// The most events a second.
    pub throttle: Option<Integer>,
    /// Leave the live generation in its place.
    pub no_switch: bool,
    /// Do not compare with the live rows.
    pub no_compare: bool,
    /// Switch even though rows of the same fold version differ.
    pub despite_differences: bool,
    /// For how many seconds to try the switch.
    pub patience: Option<Integer>,
    /// How much memory the folded rows may take, in MiB.
    pub memory: Option<Integer>,
}

/// Of a verification.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifyArguments {
    /// Only this share of the keys, more than 0 and at most 1.
    pub sample: Option<f64>,
    /// Chooses which keys are in the sample.
    pub seed: String,
    /// How much memory the folded rows may take, in MiB.
    pub memory: Option<Integer>,
}

/// Of a switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchArguments {
    /// Which generation; the one that queries saw before the live one, unless said.
    pub generation: Option<Integer>,
    /// For how many seconds to try the switch.
    pub patience: Option<Integer>,
}

/// Of the end of a generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DropArguments {
    /// The number of the generation, from 1.
    pub generation: Option<Integer>,
}

/// Of parked events that are tried again: of all, unless said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParkedRetryArguments {
    /// Only those of the row with this key.
    pub key: Option<String>,
    /// Only rows that lack the event at this position.
    pub position: Option<Integer>,
    /// How many seconds to wait for the outcome.
    pub wait: Option<Integer>,
}

/// Of a parked event that is skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParkedSkipArguments {
    /// The event at this position.
    pub position: Option<Integer>,
    /// Only for the row with this key; for every row that refuses it, unless said.
    pub key: Option<String>,
}

/// None at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

impl Task {
    /// What is wrong with the arguments, each with its pointer.
    pub fn check(&self, projection: &dyn AnyProjection) -> Vec<FieldError> {
        let mut wrong = Wrong::default();
        match self {
            Self::Rebuild(of) => {
                wrong.outside("partitions", of.partitions, 1..=i64::from(MAX_PARTITIONS));
                wrong.outside("throttle", of.throttle, 1..=i64::from(u32::MAX));
                wrong.outside("patience", of.patience, 0..=MAX_PATIENCE);
                wrong.outside("memory", of.memory, 0..=MAX_MEMORY);
                if of.resume && of.partitions.is_some() {
                    let text = "a rebuild that goes on is split already";
                    wrong.note("partitions", "conflict", text.to_owned());
                }
            }
            Self::Verify(of) => {
                if of.sample.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
                    let text = "a share is more than 0 and at most 1";
                    wrong.note("sample", "out-of-range", text.to_owned());
                }
                if of.seed.chars().count() > MAX_SEED || of.seed.contains('\0') {
                    let text = format!("at most {MAX_SEED} characters, none of them U+0000");
                    wrong.note("seed", "invalid", text);
                }
                wrong.outside("memory", of.memory, 0..=MAX_MEMORY);
            }
            Self::Switch(of) => {
                wrong.outside("generation", of.generation, 1..=i64::from(i32::MAX));
                wrong.outside("patience", of.patience, 0..=MAX_PATIENCE);
            }
            Self::Drop(of) => {
                wrong.missing("generation", of.generation);
                wrong.outside("generation", of.generation, 1..=i64::from(i32::MAX));
            }
            Self::Pause(_) | Self::Resume(_) => {}
            Self::ParkedRetry(of) => {
                wrong.outside("position", of.position, 1..=i64::MAX);
                wrong.outside("wait", of.wait, 0..=MAX_WAIT);
                wrong.no_key(projection, of.key.as_deref());
            }
            Self::ParkedSkip(of) => {
                wrong.missing("position", of.position);
                wrong.outside("position", of.position, 1..=i64::MAX);
                wrong.no_key(projection, of.key.as_deref());
            }
        }
        wrong.0
    }
}

/// What is wrong with arguments.
#[derive(Default)]
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn note(&mut self, name: &str, code: &'static str, text: String) {
        self.0.push(FieldError::new(format!("/arguments/{name}"), code, text));
    }

    fn missing(&mut self, name: &str, number: Option<Integer>) {
        if number.is_none() {
            self.note(name, "missing", format!("missing field `{name}`"));
        }
    }

    fn outside(
        &mut self,
        name: &str,
        number: Option<Integer>,
        allowed: std::ops::RangeInclusive<i64>,
    ) {
        if number.is_some_and(|number| !allowed.contains(&number.get())) {
            let (least, most) = (allowed.start(), allowed.end());
            self.note(name, "out-of-range", format!("{least} to {most} are possible"));
        }
    }

    fn no_key(&mut self, projection: &dyn AnyProjection, key: Option<&str>) {
        if key.is_some_and(|key| projection.key(key).is_none()) {
            self.note("key", "invalid", format!("no key of {}", projection.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_arguments_that_survive_being_recorded() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.as_str()), Some(*kind));
            let task = Task::read(*kind, json!({})).unwrap();
            assert_eq!(task.kind(), *kind);
            assert_eq!(Task::read(*kind, task.arguments().unwrap()).unwrap(), task);
            assert!(Task::read(*kind, json!({"unheard_of": 1})).is_err(), "{kind:?}");
        }
        assert_eq!(Kind::named("Rebuild"), None);
    }
}
