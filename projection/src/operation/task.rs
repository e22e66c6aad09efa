//! The kinds of operations and their arguments. An argument is named as the option of the command
//! line.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::FieldError;
use service_kit::input::Integer;

use crate::projection::{AnyProjection, MAX_PARTITIONS};

/// The longest patience of a switch, in seconds.
const MAX_PATIENCE: i64 = 3_600;
/// The longest wait for the outcome of a retry, in seconds.
const MAX_WAIT: i64 = 3_600;
/// The largest memory limit of folded rows, in MiB.
const MAX_MEMORY: i64 = 16_384;
/// The maximum number of characters of a sample's seed.
const MAX_SEED: usize = 100;

/// Declares each kind once, with its name and its arguments.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident($arguments:ty) => $name:literal),+ $(,)?) => {
        /// The kind of an operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])+ $kind,)+ }

        /// The task of an operation: its kind with arguments.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Task { $($(#[$doc])+ $kind($arguments),)+ }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The name of the kind in requests and records.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }

        impl Task {
            /// The kind of the task.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)+ }
            }

            /// The arguments as JSON.
            ///
            /// # Errors
            /// They could not be written as JSON.
            pub fn arguments(&self) -> serde_json::Result<Value> {
                match self { $(Self::$kind(arguments) => serde_json::to_value(arguments),)+ }
            }

            /// Reads what [`Task::arguments`] wrote.
            ///
            /// # Errors
            /// The value does not hold the arguments of this kind.
            pub fn read(kind: Kind, arguments: Value) -> serde_json::Result<Self> {
                match kind {
                    $(Kind::$kind => serde_json::from_value(arguments).map(Self::$kind),)+
                }
            }
        }
    };
}

kinds! {
    /// Build the next generation, compare it with the live one, and switch queries to it.
    Rebuild(RebuildArguments) => "rebuild",
    /// Fold the log again, and compare with the live rows.
    Verify(VerifyArguments) => "verify",
    /// Switch queries to another finished generation.
    Switch(SwitchArguments) => "switch",
    /// Drop a generation that queries do not see.
    Drop(DropArguments) => "drop",
    /// Stop projecting until a person resumes it.
    Pause(NoArguments) => "pause",
    /// Continue a paused projection.
    Resume(NoArguments) => "resume",
    /// Retry parked events now.
    ParkedRetry(ParkedRetryArguments) => "parked_retry",
    /// Decide that a parked event never counts.
    ParkedSkip(ParkedSkipArguments) => "parked_skip",
}

impl Kind {
    /// Finds the kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// Whether it reads the whole log. A process works on one such operation at a time.
    pub(crate) const fn is_long(self) -> bool {
        matches!(self, Self::Rebuild | Self::Verify | Self::Switch)
    }
}

/// The arguments of a rebuild.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices of a person")]
pub struct RebuildArguments {
    /// Resume a rebuild that was paused, cancelled, or built without switching.
    pub resume: bool,
    /// The number of partitions of the new generation; by default as before.
    pub partitions: Option<Integer>,
    /// The maximum number of events per second; unlimited by default.
    pub throttle: Option<Integer>,
    /// Do not switch queries to the new generation.
    pub no_switch: bool,
    /// Do not compare with the live rows.
    pub no_compare: bool,
    /// Switch even if rows of the same fold version differ.
    pub despite_differences: bool,
    /// How many seconds to retry the switch while queries hold the tables.
    pub patience: Option<Integer>,
    /// The memory limit for folded rows, in MiB.
    pub memory: Option<Integer>,
}

/// The arguments of a verification.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifyArguments {
    /// The share of the keys to verify, more than 0 and at most 1; by default all.
    pub sample: Option<f64>,
    /// Selects the keys of the sample.
    pub seed: String,
    /// The memory limit for folded rows, in MiB.
    pub memory: Option<Integer>,
}

/// The arguments of a switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchArguments {
    /// The number of the generation; by default the one that queries saw before the live one.
    pub generation: Option<Integer>,
    /// How many seconds to retry the switch while queries hold the tables.
    pub patience: Option<Integer>,
}

/// The arguments of a drop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DropArguments {
    /// The number of the generation. Required.
    pub generation: Option<Integer>,
}

/// The arguments of a retry. By default it retries everything that is parked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParkedRetryArguments {
    /// Retry only the row with this key.
    pub key: Option<String>,
    /// Retry only rows that lack the event at this position.
    pub position: Option<Integer>,
    /// The number of seconds to wait for the outcome.
    pub wait: Option<Integer>,
}

/// The arguments of a skip.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParkedSkipArguments {
    /// The position of the event. Required.
    pub position: Option<Integer>,
    /// The key of the row; by default every row that refused the event.
    pub key: Option<String>,
}

/// The arguments of a kind that takes none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

impl Task {
    /// Checks the arguments. Returns an error for each wrong field.
    pub fn check(&self, projection: &dyn AnyProjection) -> Vec<FieldError> {
        let mut wrong = Wrong::default();
        match self {
            Self::Rebuild(of) => {
                wrong.outside("partitions", of.partitions, 1..=i64::from(MAX_PARTITIONS));
                wrong.outside("throttle", of.throttle, 1..=i64::from(u32::MAX));
                wrong.outside("patience", of.patience, 0..=MAX_PATIENCE);
                wrong.outside("memory", of.memory, 0..=MAX_MEMORY);
                if of.resume && of.partitions.is_some() {
                    let text = "a rebuild that is resumed keeps its partitions";
                    wrong.note("partitions", "conflict", text.to_owned());
                }
            }
            Self::Verify(of) => {
                if of.sample.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
                    let text = "expected a share: more than 0, at most 1";
                    wrong.note("sample", "out-of-range", text.to_owned());
                }
                if of.seed.chars().count() > MAX_SEED || of.seed.contains('\0') {
                    let text =
                        format!("expected at most {MAX_SEED} characters, none of them U+0000");
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

/// Collects the errors of arguments.
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
            self.note(name, "out-of-range", format!("expected {least} to {most}"));
        }
    }

    fn no_key(&mut self, projection: &dyn AnyProjection, key: Option<&str>) {
        if key.is_some_and(|key| projection.key(key).is_none()) {
            self.note("key", "invalid", format!("not a key of {}", projection.name()));
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
