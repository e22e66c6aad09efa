//! A read returns the events that were appended.

use std::sync::Arc;

use futures::StreamExt;
use uuid::Uuid;

use crate::append::MAX_EVENT_BYTES;
use crate::event::{Epoch, EventRef, Position};
use crate::query::Filter;
use crate::store::{EventStore, MAX_PAGE_BYTES, is_last_page};
use crate::stream::{ExpectedVersion, Version};
use crate::test_kit::{append_to, appended, event, query, stream, tagged};

pub async fn an_empty_log_has_an_epoch_and_no_event(store: Arc<dyn EventStore>) {
    let store = &*store;
    let head = store.head().await.unwrap();
    assert_eq!(head.mark, EventRef::START);
    assert_ne!(head.epoch.0, Uuid::nil());
    assert!(
        store.descends_from(head.epoch).await.unwrap()
            && !store.descends_from(Epoch(Uuid::nil())).await.unwrap()
    );
    assert_eq!(store.read(&Filter::All, Position::START, 10).await.unwrap().len(), 0);
    assert_eq!(store.event_ref_at(Position(1)).await.unwrap(), None);
    assert_eq!(store.event_ref_at(Position::START).await.unwrap(), Some(EventRef::START));
}

pub async fn events_are_read_as_they_were_appended(store: Arc<dyn EventStore>) {
    let store = &*store;
    let mut new = tagged("thing.made", &["thing:1", "colour:red"]);
    new.metadata.actor = Some("someone \"quoted\" {}, \\ ü".into());
    new.metadata.causation_id = Some(Uuid::from_u128(7));
    new.data = serde_json::from_str(
        r#"{"b": 1.10, "a": "ü\n\"{},\\ NULL", "big": 123456789012345678901234567890, "b": 2}"#,
    )
    .unwrap();
    let outcome = appended(
        store
            .append(append_to(stream("a"), ExpectedVersion::NoStream, vec![new.clone()]))
            .await
            .unwrap(),
    );
    assert_eq!((outcome.count, outcome.versions), (1, vec![(stream("a"), Version(1))]));
    assert_eq!(outcome.last, EventRef { position: Position(1), event_id: Some(new.id) });
    assert_eq!(store.known_position(), Position(1), "the answer says so");
    let read = store.read_stream(&stream("a"), Version::NONE, 10).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(
        (read[0].id, &read[0].event_type, read[0].schema_version),
        (new.id, &new.event_type, 1)
    );
    assert_eq!(
        (read[0].data.get(), &read[0].tags, &read[0].metadata),
        (new.data.get(), &new.tags, &new.metadata)
    );
    assert_eq!(
        (read[0].position, read[0].version, &read[0].stream),
        (Position(1), Version(1), &stream("a"))
    );
    assert_eq!(store.head().await.unwrap().mark, outcome.last);
}

pub async fn reads_filter_by_category_type_and_tags(store: Arc<dyn EventStore>) {
    let store = &*store;
    let other = |id: &str| crate::StreamName::new("other", id).unwrap();
    for (name, event) in [
        (stream("1"), tagged("thing.made", &["a:1", "b:1"])),
        (other("1"), tagged("other.made", &["a:1"])),
        (stream("2"), tagged("thing.used", &["a:2", "b:1"])),
        (other("2"), tagged("thing.made", &[])),
        (stream("1"), tagged("thing.gone", &["a:1", "b:1"])),
    ] {
        appended(store.append(append_to(name, ExpectedVersion::Any, vec![event])).await.unwrap());
    }
    let positions = async |filter: &Filter, after, limit| {
        let events = store.read(filter, Position(after), limit).await.unwrap();
        events.iter().map(|e| e.position.0).collect::<Vec<_>>()
    };
    let types = |types: &[&str]| Filter::Types(types.iter().map(|t| t.parse().unwrap()).collect());
    assert_eq!(positions(&Filter::All, 0, 3).await, [1, 2, 3]);
    assert_eq!(positions(&Filter::All, 3, 3).await, [4, 5]);
    assert_eq!(positions(&Filter::Category("thing".into()), 0, 9).await, [1, 3, 5]);
    assert_eq!(positions(&Filter::Category("other".into()), 2, 9).await, [4]);
    assert_eq!(
        positions(&types(&["thing.gone", "thing.made", "thing.gone"]), 0, 9).await,
        [1, 4, 5]
    );
    assert_eq!(positions(&types(&["thing.gone", "thing.made"]), 1, 1).await, [4]);
    assert_eq!(positions(&Filter::Query(query(&[], &["a:1"])), 0, 9).await, [1, 2, 5]);
    assert_eq!(positions(&Filter::Query(query(&[], &["a:1", "b:1"])), 0, 9).await, [1, 5]);
    assert_eq!(positions(&Filter::Query(query(&["thing.gone"], &["b:1"])), 0, 9).await, [5]);
    let mut several = query(&[], &["b:1"]);
    several.items.extend(query(&["other.made"], &[]).items);
    several.items.extend(query(&[], &["a:2"]).items);
    assert_eq!(positions(&Filter::Query(several.clone()), 0, 9).await, [1, 2, 3, 5]);
    assert_eq!(positions(&Filter::Query(several), 1, 2).await, [2, 3]);
    assert_eq!(
        positions(&Filter::Query(crate::EventQuery::default()), 0, 9).await,
        [1, 2, 3, 4, 5]
    );
    assert_eq!(positions(&Filter::Types(Vec::new()), 0, 9).await, [0_i64; 0]);
}

pub async fn ranges_hold_every_event_of_their_types(store: Arc<dyn EventStore>) {
    for number in 0..9 {
        let name = if number % 3 == 0 { "thing.kept" } else { "thing.made" };
        appended(
            store
                .append(append_to(stream("a"), ExpectedVersion::Any, vec![event(name)]))
                .await
                .unwrap(),
        );
    }
    let types = ["thing.kept".parse().unwrap(), "thing.lost".parse().unwrap()];
    let range = async |after, to| {
        let events = store.read_range(&types, Position(after), Position(to)).await.unwrap();
        events.iter().map(|event| event.position.0).collect::<Vec<_>>()
    };
    assert_eq!(range(0, 9).await, [1, 4, 7]);
    assert_eq!(range(1, 4).await, [4], "after the first, up to the second");
    assert_eq!(range(4, 6).await, [0; 0]);
    assert_eq!(range(6, 99).await, [7], "the log may end before");
}

pub async fn streams_are_read_forward_and_backward_in_pages(store: Arc<dyn EventStore>) {
    let store = &*store;
    for name in ["a", "b"] {
        let events = (0..5).map(|_| event("thing.happened")).collect();
        appended(
            store.append(append_to(stream(name), ExpectedVersion::NoStream, events)).await.unwrap(),
        );
    }
    let forward = async |after, limit| {
        let events = store.read_stream(&stream("b"), Version(after), limit).await.unwrap();
        events.iter().map(|e| e.version.0).collect::<Vec<_>>()
    };
    let backward = async |before: Option<i64>, limit| {
        let events =
            store.read_stream_backward(&stream("b"), before.map(Version), limit).await.unwrap();
        events.iter().map(|e| e.version.0).collect::<Vec<_>>()
    };
    assert_eq!(forward(0, 3).await, [1, 2, 3]);
    assert_eq!(forward(3, 3).await, [4, 5]);
    assert_eq!(backward(None, 2).await, [5, 4]);
    assert_eq!(backward(Some(4), 9).await, [3, 2, 1]);
    assert_eq!(store.read_stream(&stream("c"), Version::NONE, 9).await.unwrap().len(), 0);
}

pub async fn marks_prove_what_stands_at_a_position(store: Arc<dyn EventStore>) {
    let store = &*store;
    let events = vec![event("thing.made"), event("thing.made")];
    let ids = events.iter().map(|e| e.id).collect::<Vec<_>>();
    appended(store.append(append_to(stream("a"), ExpectedVersion::Any, events)).await.unwrap());
    for (position, id) in (1..).zip(ids) {
        let mark = EventRef { position: Position(position), event_id: Some(id) };
        assert_eq!(store.event_ref_at(Position(position)).await.unwrap(), Some(mark));
    }
    assert_eq!(store.event_ref_at(Position(3)).await.unwrap(), None);
}

pub async fn a_subscription_catches_up_and_goes_on_live(store: Arc<dyn EventStore>) {
    let store = &*store;
    let add = async |count: usize| {
        let events = (0..count)
            .flat_map(|_| [event("thing.used"), tagged("thing.made", &["a:1"])])
            .collect();
        appended(store.append(append_to(stream("a"), ExpectedVersion::Any, events)).await.unwrap());
    };
    add(400).await;
    let mut subscription = store.subscribe(Filter::Query(query(&[], &["a:1"])), Position(4));
    let mut next = async || {
        tokio::time::timeout(std::time::Duration::from_secs(20), subscription.next())
            .await
            .unwrap()
            .unwrap()
    };
    for position in 3..=400 {
        assert_eq!(next().await.unwrap().position, Position(2 * position));
    }
    let live = async { next().await.unwrap().position };
    let ((), position) = tokio::join!(add(1), live);
    assert_eq!(position, Position(802));
}

pub async fn a_long_read_goes_on_page_by_page_to_the_end(store: Arc<dyn EventStore>) {
    for name in ["a", "b"] {
        let events = (0..25).map(|_| tagged("thing.happened", &["room:1"])).collect();
        appended(
            store.append(append_to(stream(name), ExpectedVersion::NoStream, events)).await.unwrap(),
        );
    }
    for page in [1, 7, 25, 50, 1_000] {
        let log = crate::pages::of_log(Arc::clone(&store), Filter::All, Position(3), page);
        let positions: Vec<i64> = log
            .map(Result::unwrap)
            .flat_map(futures::stream::iter)
            .map(|event| event.position.0)
            .collect()
            .await;
        assert_eq!(positions, (4..=50).collect::<Vec<_>>(), "with pages of {page}");
        let one = crate::pages::of_stream(Arc::clone(&store), stream("b"), Version::NONE, page);
        let versions: Vec<i64> = one
            .map(Result::unwrap)
            .flat_map(futures::stream::iter)
            .map(|event| event.version.0)
            .collect()
            .await;
        assert_eq!(versions, (1..=25).collect::<Vec<_>>(), "with pages of {page}");
    }
    let nothing =
        crate::pages::of_log(store, Filter::Category("other".into()), Position::START, 10);
    assert_eq!(nothing.count().await, 0);
}

/// A page is bounded in bytes, whatever the requested number of events, and no event is lost.
pub async fn pages_are_bounded_by_bytes(store: Arc<dyn EventStore>) {
    const LARGE: usize = MAX_EVENT_BYTES - 1_024;
    let store = &*store;
    let large = |number: u8| {
        let mut new = tagged("thing.made", &["size:large"]);
        new.data =
            serde_json::value::to_raw_value(&char::from(b'a' + number).to_string().repeat(LARGE))
                .unwrap();
        new
    };
    for number in 0..20 {
        appended(
            store
                .append(append_to(stream("a"), ExpectedVersion::Any, vec![large(number)]))
                .await
                .unwrap(),
        );
    }
    let types = vec!["thing.made".parse().unwrap()];
    let filters = [
        Filter::All,
        Filter::Category("thing".to_owned()),
        Filter::Types(types.clone()),
        Filter::Query(query(&[], &["size:large"])),
    ];
    let bounded = |page: &[crate::RecordedEvent]| {
        let bytes: usize = page.iter().map(|event| event.data.get().len()).sum();
        assert!(bytes < MAX_PAGE_BYTES + MAX_EVENT_BYTES, "{bytes} bytes on one page");
        assert!(
            !is_last_page(page, 1_000)
                || page.last().is_none_or(|last| last.position == Position(20))
        );
    };
    for filter in &filters {
        let mut read: Vec<i64> = Vec::new();
        while read.len() < 20 {
            let page = store
                .read(filter, Position(read.last().copied().unwrap_or(0)), 1_000)
                .await
                .unwrap();
            bounded(&page);
            assert!(!page.is_empty(), "{filter:?}");
            read.extend(page.iter().map(|event| event.position.0));
        }
        assert_eq!(read, (1..=20).collect::<Vec<_>>(), "{filter:?}");
    }
    let range = store.read_range(&types, Position(3), Position(20)).await.unwrap();
    bounded(&range);
    assert_eq!(range[0].position, Position(4));
    let forward = store.read_stream(&stream("a"), Version(2), 1_000).await.unwrap();
    bounded(&forward);
    assert_eq!(forward[0].version, Version(3));
    let backward = store.read_stream_backward(&stream("a"), None, 1_000).await.unwrap();
    bounded(&backward);
    assert_eq!((backward[0].version, backward.len() < 20), (Version(20), true));
}
