//! Points at which a test lets the process die, in builds with debug assertions only.
//!
//! `CRASH_POINTS` names a file with one point per line. A process that comes to a point removes it
//! from the file and dies as if killed: no destructor runs, and nothing is flushed.
//!
//! | point | where |
//! | --- | --- |
//! | `before run ship` | the request is in the log, and the call is not made |
//! | `after run ship` | the call has taken effect, and its outcome is not in the log |
//! | `fail run ship` | the process lives, and the call fails without being made |
//! | `before timer run ship` | a time has come, as after a failed call |
//! | `after timer run ship` | what follows from that is in the log |
//! | `before checkpoint` | a batch of the log is folded and not committed |
//! | `after checkpoint` | it is committed with its checkpoint |
//!
//! `compensate` instead of `run` is what undoes the step.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use saga::instance::Part;
use saga::probe::{Point, Probe, When};
use saga::{Actions, Call, Outcome};

/// The variable that names the file.
const VARIABLE: &str = "CRASH_POINTS";

/// The points that are left.
#[derive(Debug, Clone)]
pub struct CrashPoints(Option<PathBuf>);

impl CrashPoints {
    /// The points that the environment names. A release build has none.
    pub fn of_environment() -> Self {
        let points = std::env::var_os(VARIABLE).filter(|_| cfg!(debug_assertions));
        Self(points.map(PathBuf::from))
    }

    /// Whether there can be any.
    pub const fn is_used(&self) -> bool {
        self.0.is_some()
    }

    fn dies(&self, point: &str) {
        if self.takes(point) {
            tracing::error!(point, "the process dies here, as a test asks for");
            std::process::abort();
        }
    }

    fn takes(&self, point: &str) -> bool {
        let Some(path) = &self.0 else { return false };
        take(path, point).unwrap_or_else(|error| {
            tracing::error!(%error, "the file of {VARIABLE} cannot be used");
            false
        })
    }
}

impl Probe for CrashPoints {
    fn pass(&self, when: When, point: Point<'_>) {
        let when = match when {
            When::Before => "before",
            When::After => "after",
        };
        match point {
            Point::Timer { step, part } => {
                let what = match part {
                    Part::Action => "run",
                    Part::Compensation => "compensate",
                };
                self.dies(&format!("{when} timer {what} {step}"));
            }
            Point::Checkpoint => self.dies(&format!("{when} checkpoint")),
        }
    }
}

/// Actions that let the process die before or after a call.
pub struct Crashing<A> {
    actions: A,
    points: CrashPoints,
}

impl<A: Actions> Crashing<A> {
    /// The same actions, with these points.
    pub const fn at(points: CrashPoints, actions: A) -> Self {
        Self { actions, points }
    }

    async fn call(&self, what: &str, call: &Call, made: impl Future<Output = Outcome>) -> Outcome {
        let step = call.step;
        self.points.dies(&format!("before {what} {step}"));
        if self.points.takes(&format!("fail {what} {step}")) {
            return Outcome::unavailable("a test asks for it");
        }
        let outcome = made.await;
        self.points.dies(&format!("after {what} {step}"));
        outcome
    }
}

/// The processes of a test take turns by themselves; the threads of one process need this.
static TURN: Mutex<()> = Mutex::new(());

/// Takes a point out of the file. Returns whether it was there.
fn take(path: &Path, point: &str) -> std::io::Result<bool> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read_to_string(path)?;
    let mut lines: Vec<&str> = text.lines().collect();
    let Some(at) = lines.iter().position(|line| *line == point) else { return Ok(false) };
    lines.remove(at);
    // Never half a file, if two come at once.
    let draft = path.with_extension("draft");
    std::fs::write(&draft, lines.join("\n"))?;
    std::fs::rename(&draft, path)?;
    Ok(true)
}

#[async_trait]
impl<A: Actions> Actions for Crashing<A> {
    async fn run(&self, call: &Call) -> Outcome {
        self.call("run", call, self.actions.run(call)).await
    }

    async fn compensate(&self, call: &Call) -> Outcome {
        self.call("compensate", call, self.actions.compensate(call)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_point_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points");
        std::fs::write(&path, "before run a\nafter run a\nafter run a").unwrap();
        assert!(!take(&path, "before run b").unwrap());
        let taken: Vec<bool> = (0..3).map(|_| take(&path, "after run a").unwrap()).collect();
        assert_eq!(taken, [true, true, false]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before run a");
    }
}
