//! The text of events, and their ids.
//!
//! An id is `POSITION.GENERATION.EPOCH.ROW`, with `.stale` at the end while rows of the projection
//! lack events. `ROW` is `-` if the stream is complete up to the position. Otherwise it is the last
//! row that was sent of those that changed at the position.

use axum::body::Bytes;
use serde::Serialize;
use service_kit::PageInfo;
use service_kit::envelope::lag_seconds;
use uuid::Uuid;

use crate::read::Seen;

/// Ends an event.
const END: &str = "\n\n";
/// The name of the last event of a stream.
const END_NAME: &str = "end";
/// What every stream begins with: how long a client waits before it reconnects, in milliseconds.
pub(super) const RETRY: &str = "retry: 2000\n\n";

/// A place in the order of changes: the position of a change, and the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) position: i64,
    pub(super) id: Uuid,
}

impl Place {
    /// The place behind all rows that changed up to this position.
    pub(super) const fn end_of(position: i64) -> Self {
        Self { position, id: Uuid::max() }
    }

    pub(super) const fn key(self) -> (i64, Uuid) {
        (self.position, self.id)
    }
}

/// The state of the tables that a stream shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// The epoch; `None` before the first event.
    pub(super) epoch: Option<Uuid>,
    pub(super) generation: i32,
    /// The place up to which changes are known.
    pub(super) place: Place,
    /// Whether any row of the projection lacks events.
    pub(super) stale: bool,
}

impl State {
    /// The id of an event that completes the client up to a place.
    pub(super) fn id_at(&self, place: Place) -> String {
        let Self { epoch, generation, stale, .. } = self;
        let (position, epoch) = (place.position, epoch.unwrap_or_default().simple());
        let row = if place.id.is_max() { "-".to_owned() } else { place.id.simple().to_string() };
        let stale = if *stale { ".stale" } else { "" };
        format!("{position}.{generation}.{epoch}.{row}{stale}")
    }

    /// Reads an id of this form. `None` if it is no such id.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let mut parts = id.split('.');
        let (position, generation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let epoch = Uuid::try_parse(parts.next()?).ok()?;
        let id = match parts.next()? {
            "-" => Uuid::max(),
            row => Uuid::try_parse(row).ok()?,
        };
        let stale = match (parts.next(), parts.next()) {
            (None, None) => false,
            (Some("stale"), None) => true,
            _ => return None,
        };
        let epoch = (!epoch.is_nil()).then_some(epoch);
        Some(Self { epoch, generation, place: Place { position, id }, stale })
    }

    /// Whether the two are states of the same tables.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        (self.epoch, self.generation) == (other.epoch, other.generation)
    }
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A row of the snapshot.
    Row,
    /// The snapshot is complete.
    Complete,
    /// A row changed.
    Changed,
    /// A row lacks events now.
    Stale,
    /// The personal values of a row were erased.
    Erased,
    /// A row left the list.
    Left,
    /// What the client missed is complete.
    Resumed,
    /// What the client has no longer counts: a new snapshot follows.
    Reset,
}

impl Kind {
    /// The name of the event in a stream of server-sent events.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Complete => "complete",
            Self::Changed => "changed",
            Self::Stale => "stale",
            Self::Erased => "erased",
            Self::Left => "left",
            Self::Resumed => "resumed",
            Self::Reset => "reset",
        }
    }

    /// What a change of a row says.
    pub(super) const fn of_change(is_erased: bool) -> Self {
        if is_erased { Self::Erased } else { Self::Changed }
    }
}

/// The metadata of an event.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Meta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<Uuid>,
    /// The position up to which the data is complete.
    pub(crate) position: i64,
    /// How old the data is, in seconds; `None` if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lag_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<PageInfo>,
}

impl Meta {
    /// The metadata of what a snapshot shows.
    pub(super) fn of(seen: &Seen) -> Self {
        Self {
            epoch: seen.epoch,
            position: seen.position,
            lag_seconds: seen.lag.map(lag_seconds),
            stale: seen.stale.then_some(true),
            page: None,
        }
    }
}

#[derive(Serialize)]
struct Data<'d, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'d T>,
    meta: &'d Meta,
}

/// The id of a row that left.
#[derive(Serialize)]
pub(super) struct Left {
    pub(super) id: Uuid,
}

/// Why a stream ends or begins again.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) detail: String,
}

impl Reason {
    pub(super) fn new(code: &str, detail: &str) -> Self {
        Self { code: code.to_owned(), detail: detail.to_owned() }
    }
}

/// An event with data and metadata.
pub(super) fn event<T: Serialize>(
    kind: Kind,
    id: Option<&str>,
    data: Option<&T>,
    meta: &Meta,
) -> Result<Bytes, serde_json::Error> {
    let data = serde_json::to_string(&Data { data, meta })?;
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Ok(format!("{id}event: {}\ndata: {data}{END}", kind.name()).into())
}

/// The event that says why the client has to begin again.
pub(super) fn reset(reason: &Reason) -> Bytes {
    notice(Kind::Reset.name(), reason)
}

/// The event that says why the stream ends.
pub(super) fn end(reason: &Reason) -> Bytes {
    notice(END_NAME, reason)
}

fn notice(name: &str, reason: &Reason) -> Bytes {
    // Two texts always serialise.
    let data = serde_json::to_string(reason).unwrap_or_default();
    format!("event: {name}\ndata: {data}{END}").into()
}

/// A sign of life. With an id, a client that hears nothing else resumes from there.
pub(super) fn heartbeat(id: Option<&str>) -> Bytes {
    match id {
        Some(id) => format!(": heartbeat\nid: {id}{END}").into(),
        None => format!(": heartbeat{END}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_it_was_written_and_nothing_else_is_one() {
        for (epoch, id, stale) in [
            (None, Uuid::max(), false),
            (Some(Uuid::from_u128(7)), Uuid::from_u128(8), true),
            (Some(Uuid::now_v7()), Uuid::now_v7(), false),
        ] {
            let place = Place { position: 4711, id };
            let state = State { epoch, generation: 3, place, stale };
            let text = state.id_at(place);
            assert!(text.starts_with("4711.3."), "{text}");
            assert_eq!(State::parse(&text), Some(state), "{text}");
        }
        let wrong = ["", "1", "1.2", "x.1.0.-", "1.1.x.-", "1.1.00000000000000000000000000000000"];
        for wrong in wrong.into_iter().chain(["1.1.00000000000000000000000000000000.-.stale.x"]) {
            assert_eq!(State::parse(wrong), None, "{wrong}");
        }
    }
}
