//! The number of instances by saga and state, for the metrics.

use std::collections::BTreeSet;

use crate::telemetry;

/// The states of an instance that has not ended, as the work tables name them.
const STATES: [&str; 5] = ["absent", "running", "compensating", "parked", "failing"];

/// The sagas whose instances are counted: those of this program, and all that were found. Instances
/// of a saga that no program has any more must not be overlooked.
#[derive(Debug)]
pub(super) struct Counts(BTreeSet<String>);

impl Counts {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().cloned().collect())
    }

    /// Reports what was found: the numbers by saga and state.
    pub(super) fn found(&mut self, counts: &[(String, String, i64)]) {
        self.0.extend(counts.iter().map(|(saga, ..)| saga.clone()));
        for saga in &self.0 {
            for state in STATES {
                let found = counts.iter().find(|(name, status, _)| name == saga && status == state);
                telemetry::instances(saga, state, Some(found.map_or(0, |(.., count)| *count)));
            }
        }
    }

    /// Reports that the numbers are not known now.
    pub(super) fn unknown(&self) {
        for saga in &self.0 {
            for state in STATES {
                telemetry::instances(saga, state, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn all_sagas_that_are_found_are_counted_and_nothing_old_is_shown() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let shows = |saga: &str, state: &str, value: &str| {
            let line = format!("saga_instances{{saga=\"{saga}\",state=\"{state}\"}} {value}\n");
            assert!(metrics.render().contains(&line), "{line}: {}", metrics.render());
        };
        metrics::with_local_recorder(&recorder, || {
            let mut counts = Counts::new(&["lending".into()]);
            counts.found(&[("former".into(), "parked".into(), 2)]);
            shows("lending", "running", "0");
            shows("former", "parked", "2");
            counts.unknown();
            shows("lending", "running", "NaN");
            shows("former", "parked", "NaN");
            counts.found(&[]);
            shows("former", "parked", "0");
        });
    }
}
