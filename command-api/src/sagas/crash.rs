//! Points at which a test lets the process die, in builds with debug assertions only.
//!
//! `CRASH_POINTS` names a file with one point per line: `before run ship`, `after run ship`,
//! `before compensate capture_payment`, and so on. A process that comes to a point removes it
//! from the file and dies as if killed: no destructor runs, and nothing is flushed. *After* means
//! that the call has taken effect and its outcome is not in the log yet.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use saga::{Actions, Call, Outcome};

/// The variable that names the file.
const VARIABLE: &str = "CRASH_POINTS";

/// Actions that let the process die before or after a call.
pub struct Crashing<A> {
    actions: A,
    points: Option<PathBuf>,
}

impl<A: Actions> Crashing<A> {
    /// The same actions, with the points that the environment names. A release build has none.
    pub fn as_told(actions: A) -> Self {
        let points = std::env::var_os(VARIABLE).filter(|_| cfg!(debug_assertions));
        Self { actions, points: points.map(PathBuf::from) }
    }

    fn pass(&self, when: &str, what: &str, step: &str) {
        let Some(path) = &self.points else { return };
        let point = format!("{when} {what} {step}");
        match take(path, &point) {
            Ok(false) => {}
            Ok(true) => {
                tracing::error!(point, "the process dies here, as a test asks for");
                std::process::abort();
            }
            Err(error) => tracing::error!(%error, "the file of {VARIABLE} cannot be used"),
        }
    }
}

/// Takes a point out of the file. Returns whether it was there.
fn take(path: &Path, point: &str) -> std::io::Result<bool> {
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
        self.pass("before", "run", call.step);
        let outcome = self.actions.run(call).await;
        self.pass("after", "run", call.step);
        outcome
    }

    async fn compensate(&self, call: &Call) -> Outcome {
        self.pass("before", "compensate", call.step);
        let outcome = self.actions.compensate(call).await;
        self.pass("after", "compensate", call.step);
        outcome
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
