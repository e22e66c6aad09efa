//! Checks the same histories with `adya`, an independent checker. Streams are lists and events
//! their elements. An append decided on a read is a transaction of reads and appends. `adya` looks
//! for cycles among the transactions (G0, G1, G2 and related ones), up to strict serializability.
//! It knows nothing of positions, yet must reach the same verdict.

use std::collections::{BTreeMap, HashMap};

use adya::history::{Interner, Mop, Op, OpType, ReadValue, Scalar};
use adya::{Opts, Report, Valid, Workload};
use uuid::Uuid;

use crate::history::{Answer, Asked, Entry, History, Operation, Wanted};

/// The time limit of the search for one cycle.
const SEARCH: std::time::Duration = std::time::Duration::from_secs(20);

/// Returns the anomalies that `adya` finds.
pub(super) fn anomalies(history: &History) -> Vec<String> {
    let report = report(&Translation::new(&history.log).history(history));
    assert_ne!(report.valid, Valid::Unknown, "adya gave up: {:?}", report.anomaly_types);
    report.anomaly_types
}

/// Returns the anomalies of a history that may be too broken to translate faithfully.
pub(super) fn anomalies_if_any(history: &History) -> Vec<String> {
    report(&Translation::new(&history.log).history(history)).anomaly_types
}

pub(super) fn report(history: &adya::History) -> Report {
    adya::check(history, Workload::ListAppend, &Opts { timeout: SEARCH, ..Opts::default() })
}

struct Translation {
    names: Interner,
    streams: HashMap<Uuid, String>,
}

impl Translation {
    fn new(log: &[Entry]) -> Self {
        Self {
            names: Interner::default(),
            streams: log.iter().map(|entry| (entry.id, entry.stream.to_string())).collect(),
        }
    }

    fn history(mut self, history: &History) -> adya::History {
        let mut moments: Vec<(u64, bool, &Operation)> = Vec::new();
        for operation in history
            .operations
            .iter()
            .filter(|operation| !matches!(operation.asked, Asked::ReadLog(_)))
        {
            moments.push((operation.began, false, operation));
            moments.extend(operation.ended.as_ref().map(|(at, _)| (*at, true, operation)));
        }
        moments.sort_by_key(|(at, ended, _)| (*at, *ended));
        let ops = moments.into_iter().zip(0..).map(|((at, ended, operation), index)| Op {
            index,
            kind: if ended { kind(operation) } else { OpType::Invoke },
            process: i64::try_from(operation.client).ok(),
            value: self.transaction(operation),
            time: i64::try_from(at).ok(),
        });
        let ops = ops.collect();
        adya::History::from_ops(ops, self.names)
    }

    fn transaction(&mut self, operation: &Operation) -> Vec<Mop> {
        match (&operation.asked, operation.answer()) {
            (Asked::Append(wanted), Some(Answer::Appended(_))) => {
                let mut all = Vec::new();
                for (stream, events) in &wanted.decided_on {
                    all.push(self.read(stream, events));
                }
                all.extend(self.appends(wanted));
                all
            }
            (Asked::Append(wanted), _) => self.appends(wanted),
            (Asked::ReadTag(_), Some(Answer::Read(events))) => {
                let mut lists = BTreeMap::<String, Vec<Uuid>>::new();
                for (_, id) in events {
                    let stream = self.streams.get(id).cloned().unwrap_or_default();
                    lists.entry(stream).or_default().push(*id);
                }
                lists.into_iter().map(|(stream, events)| self.read(&stream, &events)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn read(&mut self, stream: &str, events: &[Uuid]) -> Mop {
        let list = events.iter().map(|id| self.name(id)).collect();
        Mop::Read { key: self.name(&stream), value: ReadValue::List(list) }
    }

    fn appends(&mut self, wanted: &Wanted) -> Vec<Mop> {
        let each = wanted
            .streams
            .iter()
            .flat_map(|(stream, _, ids)| ids.iter().map(move |id| (stream, id)));
        each.map(|(stream, id)| Mop::Append { key: self.name(stream), value: self.name(id) })
            .collect()
    }

    fn name(&mut self, name: &dyn ToString) -> u32 {
        self.names.intern(Scalar::Str(name.to_string()))
    }
}

fn kind(operation: &Operation) -> OpType {
    match operation.answer() {
        Some(Answer::Appended(_) | Answer::Read(_)) => OpType::Ok,
        Some(Answer::Repeated(_) | Answer::Refused(_) | Answer::Failed(_)) => OpType::Fail,
        Some(Answer::Unknown(_)) | None => OpType::Info,
    }
}

/// Calibration: the anomalies that it must and must not find, in hand-made histories and those of
/// its own simulated databases.
mod calibration {
    use adya::sim::{Isolation, SimOpts, run};
    use adya::{History, Valid};

    use super::report;

    fn verdict(lines: &str) -> (Valid, Vec<String>) {
        let report = report(&History::from_json(lines).unwrap());
        (report.valid, report.anomaly_types)
    }

    /// Makes two overlapping transactions, then one that reads both lists.
    fn overlapping(first: &str, second: &str, last: &str) -> String {
        let line = |kind, process, value| {
            format!("{{\"type\":\"{kind}\",\"process\":{process},\"value\":{value}}}\n")
        };
        [
            ("invoke", 0, first),
            ("invoke", 1, second),
            ("ok", 0, first),
            ("ok", 1, second),
            ("invoke", 2, last),
            ("ok", 2, last),
        ]
        .map(|(kind, process, value)| line(kind, process, value))
        .concat()
    }

    #[test]
    fn planted_anomalies_are_found_and_named() {
        for (name, first, second, last) in [
            (
                "G0",
                r#"[["append","x",1],["append","y",1]]"#,
                r#"[["append","x",2],["append","y",2]]"#,
                r#"[["r","x",[1,2]],["r","y",[2,1]]]"#,
            ),
            (
                "G1c",
                r#"[["append","x",1],["r","y",[2]]]"#,
                r#"[["append","y",2],["r","x",[1]]]"#,
                r#"[["r","x",[1]],["r","y",[2]]]"#,
            ),
            (
                "G2-item",
                r#"[["r","x",[]],["append","y",1]]"#,
                r#"[["r","y",[]],["append","x",2]]"#,
                r#"[["r","x",[2]],["r","y",[1]]]"#,
            ),
            (
                "G-single-item",
                r#"[["append","x",1],["append","y",1]]"#,
                r#"[["r","x",[1]],["r","y",[]]]"#,
                r#"[["r","x",[1]],["r","y",[1]]]"#,
            ),
        ] {
            let (valid, found) = verdict(&overlapping(first, second, last));
            assert_eq!(
                (valid, found.iter().any(|found| found.starts_with(name))),
                (Valid::False, true),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn a_read_of_a_refused_append_and_a_stale_read_are_found() {
        let aborted = r#"{"type":"invoke","process":0,"value":[["append","x",1]]}
            {"type":"fail","process":0,"value":[["append","x",1]]}
            {"type":"invoke","process":1,"value":[["r","x",null]]}
            {"type":"ok","process":1,"value":[["r","x",[1]]]}"#;
        assert!(verdict(aborted).1.contains(&"G1a".to_owned()));
        let stale = r#"{"type":"invoke","process":0,"value":[["append","x",1]]}
            {"type":"ok","process":0,"value":[["append","x",1]]}
            {"type":"invoke","process":1,"value":[["r","x",null]]}
            {"type":"ok","process":1,"value":[["r","x",[]]]}
            {"type":"invoke","process":1,"value":[["r","x",null]]}
            {"type":"ok","process":1,"value":[["r","x",[1]]]}"#;
        let (valid, found) = verdict(stale);
        assert!(
            valid == Valid::False && found.iter().any(|name| name.ends_with("realtime")),
            "{found:?}"
        );
    }

    #[test]
    fn serializable_runs_pass_and_weaker_ones_do_not() {
        let weak = [
            Isolation::SnapshotIsolation,
            Isolation::ReadCommitted,
            Isolation::ReadUncommitted,
            Isolation::LostUpdate,
        ];
        for seed in 0..5 {
            let run =
                |isolation| run(&SimOpts { isolation, txns: 2_000, seed, ..SimOpts::default() });
            let (valid, found) = verdict(&run(Isolation::Serializable));
            assert_eq!(valid, Valid::True, "seed {seed}: {found:?}");
            for isolation in weak {
                assert_eq!(verdict(&run(isolation)).0, Valid::False, "{isolation:?}, seed {seed}");
            }
        }
    }
}
