//! Random histories: plans of small numbers, which shrink well, and the appends made from them.

use event_store::{
    Append, AppendCondition, Epoch, EventQuery, ExpectedVersion, Filter, Idempotency, NewEvent,
    Position, QueryItem, ReservationChange, ReservedValue, StreamAppend, StreamName, Version,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use crate::reference::Reference;
use crate::support::{metadata, tagged};

const TYPES: [&str; 3] = ["thing.made", "thing.used", "other.made"];
const STREAMS: u8 = 6;
const TAGS: u8 = 3;

/// Appends that are sent together, the way they are sent, and the reads afterwards.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) appends: Vec<Planned>,
    pub(super) way: Way,
    pub(super) looks: Vec<Look>,
}

/// The way in which the appends of a round reach the log.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// In order, through the procedure alone, in batches of these sizes.
    Procedure(Vec<usize>),
    /// All at once through one store.
    OneStore,
    /// All at once through two stores, as from two processes; each bit selects the store.
    TwoStores(u32),
}

#[derive(Debug, Clone)]
pub(super) struct Planned {
    streams: Vec<(u8, Expect, Vec<PlannedEvent>)>,
    conditions: Vec<(Vec<(u8, u8)>, i64)>,
    reservations: Vec<Reservation>,
    key: Option<(u8, u8)>,
    other_epoch: bool,
    /// Whether it closes the first stream that it names.
    closes: bool,
    /// Repeats the append this many appends earlier.
    again: Option<usize>,
    /// Gives an event the id of the first event of the append this many appends earlier.
    stolen: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Expect {
    Any,
    NoStream,
    Exists,
    /// The version at the start of the round plus this number.
    Near(i64),
    /// The end of the stream once every earlier append of the round is made: a chain.
    Behind,
}

#[derive(Debug, Clone)]
struct PlannedEvent {
    kind: usize,
    tags: u8,
}

#[derive(Debug, Clone)]
enum Reservation {
    Take(u8, u8),
    Release(u8, u8),
    Move(u8, u8, u8),
}

/// A read, compared with the reference.
#[derive(Debug, Clone)]
pub(super) enum Look {
    Log(PlannedFilter, i64, usize),
    Stream(u8, i64, usize),
    Backward(u8, i64, usize),
    Key(u8, u8),
}

#[derive(Debug, Clone)]
pub(super) enum PlannedFilter {
    All,
    Category,
    Types(u8),
    Query(Vec<(u8, u8)>),
}

pub(super) fn history() -> impl Strategy<Value = Vec<Round>> {
    vec(round(), 1..8)
}

fn round() -> impl Strategy<Value = Round> {
    let way = prop_oneof![
        vec(1..16_usize, 16).prop_map(Way::Procedure),
        Just(Way::OneStore),
        any::<u32>().prop_map(Way::TwoStores),
    ];
    (vec(planned(), 1..16), way, vec(look(), 0..4)).prop_map(|(appends, way, looks)| Round {
        appends,
        way,
        looks,
    })
}

fn planned() -> impl Strategy<Value = Planned> {
    let event =
        (0..TYPES.len(), 0..1_u8 << TAGS).prop_map(|(kind, tags)| PlannedEvent { kind, tags });
    let expect = prop_oneof![
        4 => Just(Expect::Any), 1 => Just(Expect::NoStream), 1 => Just(Expect::Exists),
            3 => (-1..3_i64).prop_map(Expect::Near), 4 => Just(Expect::Behind),
    ];
    let stream = (0..STREAMS, expect, vec(event, 0..3));
    let condition = (vec(item(1), 1..3), -6..3_i64);
    let reservation = prop_oneof![
        3 => (0..3_u8, 0..3_u8).prop_map(|(value, owner)| Reservation::Take(value, owner)),
        1 => (0..3_u8, 0..3_u8).prop_map(|(value, owner)| Reservation::Release(value, owner)),
        1 => (0..3_u8, 0..3_u8, 0..3_u8).prop_map(|(value, from, to)| Reservation::Move(value,
            from, to)),
    ];
    let rarely = |most: usize| option::weighted(0.08, 1..most);
    let few = prop_oneof![3 => vec(condition.clone(), 0..1), 1 => vec(condition, 1..3)];
    let reservations =
        prop_oneof![3 => vec(reservation.clone(), 0..1), 1 => vec(reservation, 1..3)];
    let parts = (vec(stream, 1..4), few, reservations, option::weighted(0.3, (0..6_u8, 0..2_u8)));
    let flags = (prop::bool::weighted(0.03), prop::bool::weighted(0.04));
    (parts, flags, rarely(12), rarely(12)).prop_map(
        |(parts, (other_epoch, closes), again, stolen)| {
            let (streams, conditions, reservations, key) = parts;
            Planned { streams, conditions, reservations, key, other_epoch, closes, again, stolen }
        },
    )
}

/// Makes an item with types and tags as bits, with at least this many tag bits in use.
fn item(first_tags: u8) -> impl Strategy<Value = (u8, u8)> + Clone {
    (0..1_u8 << TYPES.len(), first_tags..1_u8 << TAGS)
}

fn look() -> impl Strategy<Value = Look> {
    let filter = prop_oneof![
        Just(PlannedFilter::All),
        Just(PlannedFilter::Category),
        (1..1_u8 << TYPES.len()).prop_map(PlannedFilter::Types),
        vec(item(0), 0..3).prop_map(PlannedFilter::Query),
    ];
    prop_oneof![
        (filter, 0..40_i64, 1..20_usize)
            .prop_map(|(filter, back, limit)| Look::Log(filter, back, limit)),
        (0..STREAMS, 0..10_i64, 1..10_usize)
            .prop_map(|(stream, after, limit)| Look::Stream(stream, after, limit)),
        (0..STREAMS, 0..10_i64, 1..10_usize)
            .prop_map(|(stream, before, limit)| Look::Backward(stream, before, limit)),
        (0..6_u8, 0..2_u8).prop_map(|(key, request)| Look::Key(key, request)),
    ]
}

/// The names of one history, which no other history in the same log has.
pub(super) struct Names(pub(super) u64);

impl Names {
    pub(super) fn stream(&self, number: u8) -> StreamName {
        // Two categories, so that reads by category have something to leave out.
        let category = if number.is_multiple_of(2) { "thing" } else { "other" };
        StreamName::new(category, format!("{}-{number}", self.0)).unwrap()
    }

    fn tags(&self, bits: u8) -> Vec<String> {
        (0..TAGS)
            .filter(|bit| bits & (1 << bit) != 0)
            .map(|bit| format!("tag:{}-{bit}", self.0))
            .collect()
    }

    pub(super) fn key(&self, key: u8, request: u8) -> Idempotency {
        let mut hash = [key; 32];
        hash[..8].copy_from_slice(&self.0.to_be_bytes());
        Idempotency {
            key: hash,
            request_hash: [request; 32],
            answer: serde_json::from_str(r#""kept""#).unwrap(),
        }
    }

    fn reservation(&self, value: u8) -> ReservedValue {
        let mut hash = [value; 32];
        hash[..8].copy_from_slice(&self.0.to_be_bytes());
        ReservedValue { scope: "thing.name".into(), hash }
    }

    /// Makes a query with a tag of this history in every item, so it ignores all others.
    pub(super) fn query(&self, items: &[(u8, u8)]) -> EventQuery {
        let item = |(types, tags): &(u8, u8)| QueryItem {
            types: types_of(*types),
            tags: self.tags(*tags).iter().map(|tag| tag.parse().unwrap()).collect(),
        };
        EventQuery { items: items.iter().map(item).collect() }
    }

    pub(super) fn filter(&self, planned: &PlannedFilter) -> Filter {
        match planned {
            PlannedFilter::All => Filter::All,
            PlannedFilter::Category => Filter::Category("thing".to_owned()),
            PlannedFilter::Types(types) => Filter::Types(types_of(*types)),
            PlannedFilter::Query(items) => Filter::Query(self.query(items)),
        }
    }

    /// Makes the appends of a round; `earlier` has those of the earlier rounds.
    pub(super) fn appends(
        &self,
        planned: &[Planned],
        model: &Reference,
        earlier: &mut Vec<Append>,
    ) -> Vec<Append> {
        let first = earlier.len();
        for one in planned {
            let back = |by: usize| earlier.len().checked_sub(by).and_then(|at| earlier.get(at));
            let append = match one.again.and_then(back) {
                Some(again) => again.clone(),
                None => self.append(one, model, &earlier[first..], one.stolen.and_then(back)),
            };
            earlier.push(append);
        }
        earlier[first..].to_vec()
    }

    fn append(
        &self,
        planned: &Planned,
        model: &Reference,
        before: &[Append],
        robbed: Option<&Append>,
    ) -> Append {
        let mut append = Append::default();
        for (number, expect, events) in &planned.streams {
            let stream = self.stream(*number);
            if append.streams.iter().any(|named| named.stream == stream) {
                continue;
            }
            let expected = match expect {
                Expect::Any => ExpectedVersion::Any,
                Expect::NoStream => ExpectedVersion::NoStream,
                Expect::Exists => ExpectedVersion::StreamExists,
                Expect::Near(by) => {
                    ExpectedVersion::Exact(Version((model.version(&stream) + by).max(0)))
                }
                Expect::Behind => behind(&stream, model, before),
            };
            let event = |event: &PlannedEvent| {
                let tags = self.tags(event.tags);
                tagged(TYPES[event.kind], &tags.iter().map(String::as_str).collect::<Vec<_>>())
            };
            append.streams.push(StreamAppend {
                stream,
                expected,
                events: events.iter().map(event).collect(),
            });
        }
        if let Some(closed) = append.streams.first_mut().filter(|_| planned.closes) {
            closed.events.push(NewEvent::stream_closed(metadata()));
        }
        let stolen = robbed.and_then(|robbed| crate::reference::ids(robbed).first().copied());
        let robber = append.streams.iter_mut().find_map(|named| named.events.last_mut());
        if let (Some(id), Some(event)) = (stolen, robber) {
            event.id = id;
        }
        let head = model.head().0;
        append.conditions.extend(planned.conditions.iter().map(|(items, from_head)| {
            AppendCondition { query: self.query(items), after: Position((head + from_head).max(0)) }
        }));
        append.idempotency = planned.key.map(|(key, request)| self.key(key, request));
        append.epoch = planned.other_epoch.then(|| Epoch(Uuid::new_v4()));
        if append.streams.iter().any(|named| !named.events.is_empty()) {
            append.reservations = self.reservations(&planned.reservations);
        }
        append
    }

    /// Makes reservation changes: each value is released at most once, then taken at most once.
    fn reservations(&self, planned: &[Reservation]) -> Vec<ReservationChange> {
        let mut seen = Vec::new();
        let mut changes = Vec::new();
        for reservation in planned {
            let (Reservation::Take(value, _)
            | Reservation::Release(value, _)
            | Reservation::Move(value, ..)) = reservation;
            if seen.contains(value) {
                continue;
            }
            seen.push(*value);
            let take = |owner: &u8| ReservationChange::Take {
                reservation: self.reservation(*value),
                owner: self.stream(*owner),
            };
            let release = |owner: &u8| ReservationChange::Release {
                reservation: self.reservation(*value),
                owner: self.stream(*owner),
            };
            match reservation {
                Reservation::Take(_, owner) => changes.push(take(owner)),
                Reservation::Release(_, owner) => changes.push(release(owner)),
                Reservation::Move(_, from, to) => changes.extend([release(from), take(to)]),
            }
        }
        changes
    }
}

/// Returns the requirement to follow all events that the earlier appends would add to the stream.
fn behind(stream: &StreamName, model: &Reference, before: &[Append]) -> ExpectedVersion {
    let stored = model.stream(stream).into_iter().map(|logged| logged.event.id);
    let coming =
        before.iter().flat_map(|append| &append.streams).filter(|named| named.stream == *stream);
    let ids: Vec<Uuid> =
        stored.chain(coming.flat_map(|named| &named.events).map(|event| event.id)).collect();
    let version = Version(i64::try_from(ids.len()).unwrap());
    ids.last().map_or(ExpectedVersion::NoStream, |event_id| ExpectedVersion::Behind {
        version,
        event_id: *event_id,
    })
}

fn types_of(bits: u8) -> Vec<event_store::EventType> {
    let kinds = TYPES.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    kinds.map(|(_, kind)| kind.parse().unwrap()).collect()
}
