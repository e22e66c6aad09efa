//! A process as its answers describe it. Anybody on NATS can answer, so an answer counts only if
//! its texts are short and can be printed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::health::Report;

use crate::registration::{ADDRESS, ADMIN};

/// The name of the endpoint whose statistics carry the health of a process.
pub(crate) const HEALTH: &str = "health";
/// The maximum length of one answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024;
/// The maximum number of characters of a text.
const MAX_TEXT: usize = 256;
/// The maximum number of entries of a list.
const MAX_ENTRIES: usize = 32;

/// Whether a process can take work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It can.
    Ready,
    /// It waits for something that it needs.
    NotReady,
    /// It is about to stop.
    Draining,
    /// It did not say. It may be a program of somebody else.
    Unknown,
}

/// The health of a process, as the registry shows it. Why a component is not ready is shown by the
/// admin port only, because reasons may hold addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether the process can take work.
    pub state: State,
    /// The components that it needs and that are not ready, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<String>,
}

impl Standing {
    const UNKNOWN: Self = Self { state: State::Unknown, waiting_for: Vec::new() };

    fn is_acceptable(&self) -> bool {
        self.waiting_for.len() <= MAX_ENTRIES && self.waiting_for.iter().all(|name| is_text(name))
    }
}

impl From<&Report> for Standing {
    fn from(report: &Report) -> Self {
        let missing = report.components.iter().filter(|(_, one)| one.required && !one.ready);
        let waiting_for = missing.map(|(name, _)| name.to_string()).take(MAX_ENTRIES).collect();
        let state = match report {
            Report { draining: true, .. } => State::Draining,
            Report { ready: true, .. } => State::Ready,
            Report { .. } => State::NotReady,
        };
        Self { state, waiting_for }
    }
}

/// A process that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The name of the program, such as `projector`.
    pub name: String,
    /// The id of this run of it.
    pub id: String,
    /// The version of the program.
    pub version: String,
    /// Its health.
    #[serde(flatten)]
    pub standing: Standing,
    /// When it registered.
    pub since: Option<DateTime<Utc>>,
    /// What else it says about itself.
    pub metadata: BTreeMap<String, String>,
}

impl Found {
    /// The address of its admin port, as it says.
    pub fn admin(&self) -> Option<&str> {
        self.metadata.get(ADMIN).map(String::as_str)
    }

    /// The address that its public port listens on, as it says.
    pub fn address(&self) -> Option<&str> {
        self.metadata.get(ADDRESS).map(String::as_str)
    }
}

/// An answer to `$SRV.INFO` or `$SRV.STATS`. Other fields are not read.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Answer {
    #[serde(rename = "io.nats.micro.v1.info_response")]
    Info {
        #[serde(flatten)]
        who: Who,
        version: String,
        // Some libraries write `null`.
        #[serde(default)]
        metadata: Option<BTreeMap<String, String>>,
    },
    #[serde(rename = "io.nats.micro.v1.stats_response")]
    Stats {
        #[serde(flatten)]
        who: Who,
        started: DateTime<Utc>,
        #[serde(default)]
        endpoints: Option<Vec<Endpoint>>,
    },
}

/// Which process answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) id: String,
}

/// The statistics of an endpoint.
#[derive(Debug, Deserialize)]
pub(crate) struct Endpoint {
    name: String,
    #[serde(default)]
    data: Option<Value>,
}

impl Answer {
    /// Reads an answer; `None` if it is not one, or if a text of it is too long or cannot be
    /// printed.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        if payload.len() > MAX_ANSWER {
            return None;
        }
        serde_json::from_slice(payload).ok().filter(Self::is_acceptable)
    }

    fn is_acceptable(&self) -> bool {
        let is_known = |who: &Who| is_name(&who.name) && is_name(&who.id);
        match self {
            Self::Stats { who, .. } => is_known(who),
            Self::Info { who, version, metadata } => {
                let metadata = metadata.iter().flatten();
                is_known(who)
                    && is_text(version)
                    && metadata.clone().count() <= MAX_ENTRIES
                    && metadata.clone().all(|(key, value)| is_text(key) && is_text(value))
            }
        }
    }
}

/// The health among the statistics of a process.
pub(crate) fn standing(endpoints: Option<Vec<Endpoint>>) -> Standing {
    let health = endpoints.into_iter().flatten().find(|endpoint| endpoint.name == HEALTH);
    let data = health.and_then(|endpoint| endpoint.data);
    let standing = data.and_then(|data| serde_json::from_value(data).ok());
    standing.filter(Standing::is_acceptable).unwrap_or(Standing::UNKNOWN)
}

/// The health of a process that answered to one of the two questions only.
pub(crate) const fn no_standing() -> Standing {
    Standing::UNKNOWN
}

fn is_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.len() <= MAX_TEXT && text.chars().all(is_allowed)
}

/// Whether a text can be shown on a terminal: no control characters, and none that reverse the
/// direction of a line.
fn is_text(text: &str) -> bool {
    let turns = |c: char| {
        matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}')
    };
    text.len() <= MAX_TEXT && !text.chars().any(|c| c.is_control() || turns(c))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;
    use service_kit::health::Health;

    use super::*;

    fn info(name: &str, version: &str, metadata: &Value) -> Option<Answer> {
        let answer = json!({"type": "io.nats.micro.v1.info_response", "name": name, "id": "A1",
            "version": version, "metadata": metadata, "endpoints": null, "more": 1});
        Answer::read(answer.to_string().as_bytes())
    }

    #[test]
    fn an_answer_counts_only_if_it_can_be_shown() {
        let entries = |count: usize| (0..count).map(|n| (n.to_string(), n.to_string()));
        let fits: BTreeMap<_, _> = entries(MAX_ENTRIES).collect();
        let many: BTreeMap<_, _> = entries(MAX_ENTRIES + 1).collect();
        assert!(info("relay", "1.2.3", &json!(null)).is_some());
        assert!(info("relay", "1.2.3", &json!(fits)).is_some());
        assert!(info("relay", "1.2.3", &json!(many)).is_none());
        assert!(info("re\nlay", "1.2.3", &json!({})).is_none());
        assert!(info("", "1.2.3", &json!({})).is_none());
        assert!(info("relay", "\u{1b}[2J", &json!({})).is_none(), "clears a terminal");
        assert!(info("relay", "1", &json!({"admin": "a\u{202e}b"})).is_none(), "turns the line");
        assert!(info("relay", "1", &json!({"a": "x".repeat(MAX_TEXT + 1)})).is_none());
        assert!(info("relay", "1", &json!({"a": 1})).is_none(), "not a text");
        assert!(Answer::read(b"").is_none());
        let long = format!("{}{{}}", " ".repeat(MAX_ANSWER));
        assert!(Answer::read(long.as_bytes()).is_none());
    }

    #[test]
    fn health_is_read_from_its_endpoint_alone() {
        let read = |endpoints: Value| standing(serde_json::from_value(endpoints).unwrap());
        let ready = json!({"state": "ready"});
        assert_eq!(read(json!([{"name": "health", "data": ready}])).state, State::Ready);
        assert_eq!(read(json!([{"name": "other", "data": ready}])), Standing::UNKNOWN);
        assert_eq!(read(json!([{"name": "health", "data": {"state": "?"}}])), Standing::UNKNOWN);
        let unprintable = json!({"state": "ready", "waiting_for": ["\u{7}"]});
        assert_eq!(read(json!([{"name": "health", "data": unprintable}])), Standing::UNKNOWN);
        assert_eq!(read(json!(null)), Standing::UNKNOWN);
    }

    #[test]
    fn health_names_what_is_missing_without_the_reason() {
        let health = Health::new();
        health.component("store").not_ready("canary");
        health.optional_component("nats").not_ready("canary");
        let standing = Standing::from(&health.report());
        assert_eq!(standing.state, State::NotReady);
        assert_eq!(standing.waiting_for, ["store"]);
        health.drain();
        assert_eq!(Standing::from(&health.report()).state, State::Draining);
        assert_eq!(Standing::from(&Health::new().report()).state, State::Ready);
    }
}
