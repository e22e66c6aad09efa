//! Events as their golden files have them: of whatever aggregates there are.

use std::path::Path;

use domain::history::{self, Shape};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Happening, happening_of};

/// A type's payloads: the one that is written today, then those of former versions.
type Payloads = Vec<(Shape, Value)>;

/// The events of one aggregate. The first type begins it.
struct Aggregate {
    category: &'static str,
    types: Vec<Payloads>,
}

fn category_of(event_type: &'static str) -> &'static str {
    event_type.split_once('.').unwrap().0
}

fn payload((event_type, version): Shape) -> Value {
    let category = category_of(event_type);
    let source = if category.starts_with("saga") { "../saga/src" } else { "../domain/src" };
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(source)
        .join(category)
        .join("golden/events.json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = format!("{event_type} v{version}");
    serde_json::from_str::<Value>(&text).unwrap()[name]["data"].take()
}

/// Every aggregate, in the order of their list.
fn aggregates() -> Vec<Aggregate> {
    let mut found: Vec<Aggregate> = Vec::new();
    for current in history::current().chain(saga::event::shapes()) {
        let category = category_of(current.0);
        let former = history::PAST.iter().map(|(shape, ..)| *shape);
        let versions = std::iter::once(current).chain(former.filter(|shape| shape.0 == current.0));
        let payloads = versions.map(|shape| (shape, payload(shape))).collect();
        match found.iter_mut().find(|one| one.category == category) {
            Some(one) => one.types.push(payloads),
            None => found.push(Aggregate { category, types: vec![payloads] }),
        }
    }
    found
}

/// The id of an aggregate. A payment's id is the provider's, and no id of ours.
fn uuid(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

fn happens(category: &str, id: Uuid, ((event_type, version), data): &(Shape, Value)) -> Happening {
    let mut data = data.clone();
    if let Some(own) = data.get_mut(format!("{category}_id")).filter(|own| uuid(own).is_some()) {
        *own = json!(id);
    }
    happening_of(category, id, event_type, *version, &data, Vec::new())
}

/// Each type as it is written today, once; each aggregate has the id that its golden files name.
pub(crate) fn each_type() -> Vec<Happening> {
    let of = |one: Aggregate| {
        let own = one.types[0][0].1.get(format!("{}_id", one.category));
        let id = own.and_then(uuid).unwrap_or_default();
        one.types.into_iter().map(move |payloads| happens(one.category, id, &payloads[0]))
    };
    aggregates().into_iter().flat_map(of).collect()
}

/// The random life of the aggregates that a test does not act out itself.
pub(crate) struct Others {
    aggregates: Vec<(Aggregate, Vec<Uuid>)>,
}

impl Others {
    /// All but these categories.
    pub(crate) fn but(acted_out: &[&str]) -> Self {
        let others = aggregates().into_iter().filter(|one| !acted_out.contains(&one.category));
        Self { aggregates: others.map(|one| (one, Vec::new())).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.aggregates.is_empty()
    }

    /// One of them begins, or goes on; written by a program of today, or by a former one.
    pub(crate) fn next(&mut self, random: &mut StdRng) -> Happening {
        let at = random.random_range(0..self.aggregates.len());
        let (one, begun) = &mut self.aggregates[at];
        let (first, later) = one.types.split_first().unwrap();
        let goes_on = later.choose(random).zip(begun.choose(random).copied());
        let (payloads, id) = match goes_on {
            Some((payloads, id)) if random.random_ratio(2, 3) => (payloads, id),
            _ => (first, Uuid::from_u128(random.random())),
        };
        if !begun.contains(&id) {
            begun.push(id);
        }
        happens(one.category, id, payloads.choose(random).unwrap())
    }
}
