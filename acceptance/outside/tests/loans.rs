//! Checks that the projection keeps every projection's guarantees, on a real Postgres.

use aggregate::DomainEvent as _;
use event_store::{Metadata, NewEvent, StreamName};
use lending::loans::Loans;
use lending::{BookEvent, BookLent, BookReturned, registry};
use projection::test_kit::check;
use uuid::Uuid;

#[tokio::test]
async fn each_book_has_a_row_with_its_loans() {
    let database = std::env::var("LENDING_TEST_DATABASE_URL").expect("a database of its own");
    let book_id = Uuid::from_u128(7);
    let lent = |days| BookEvent::Lent(BookLent { book_id, days });
    let events = [lent(7), BookEvent::Returned(BookReturned { book_id }), lent(14)];
    let rows = check(
        &database,
        &projection::of::<Loans>(),
        registry().expect("a registry"),
        events.iter().map(|event| stored(book_id, event)).collect(),
    )
    .await;
    assert_eq!(rows, [serde_json::json!({"book_id": book_id, "times": 2, "days": 21})]);
}

fn stored(book_id: Uuid, event: &BookEvent) -> (StreamName, NewEvent) {
    let from =
        Metadata::new(book_id);
    let event_type = event.event_type().parse().expect("a type");
    let new = NewEvent::json(event_type, event.schema_version(), event, from).expect("JSON");
    (StreamName::new(BookEvent::CATEGORY, book_id).expect("a name"), new)
}
