//! The bodies and queries of requests.

use serde::Deserialize;
use service_kit::input::Time;

/// Creates a subscription.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Creating {
    pub(super) by: Option<String>,
    pub(super) name: String,
    pub(super) url: String,
    pub(super) types: Vec<String>,
    #[serde(default)]
    pub(super) personal: bool,
    pub(super) after: Option<i64>,
}

/// Decides something that needs no reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain {
    pub(super) by: Option<String>,
}

/// Decides something, with the reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reasoned {
    pub(super) by: Option<String>,
    pub(super) reason: String,
}

/// Lets a subscription go on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resuming {
    pub(super) by: Option<String>,
    pub(super) after: Option<i64>,
}

/// Tries deliveries again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retrying {
    pub(super) by: Option<String>,
    pub(super) position: Option<i64>,
}

/// Gives up a delivery.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Skipping {
    pub(super) by: Option<String>,
    pub(super) position: i64,
    pub(super) reason: String,
}

/// Begins a replay.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replaying {
    pub(super) by: Option<String>,
    pub(super) reason: String,
    pub(super) from: Option<i64>,
    pub(super) since: Option<Time>,
    pub(super) types: Option<Vec<String>>,
    pub(super) rate: Option<i32>,
}

/// Which part of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    pub(super) after: Option<i64>,
    pub(super) limit: Option<i64>,
}

/// How much of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitQuery {
    pub(super) limit: Option<i64>,
}
