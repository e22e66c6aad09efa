//! The same documents, resolved here and by the library.

#![allow(clippy::unwrap_used, clippy::unused_async, reason = "tests, of resolvers")]

use async_graphql::{
    EmptyMutation, EmptySubscription, Interface, Object, ObjectType, Result, Schema,
};
use futures::future::poll_fn;

use super::*;

struct Thing {
    number: i64,
}

struct Part;

#[derive(Interface)]
#[graphql(field(name = "number", ty = "i64"))]
enum Numbered {
    Thing(Thing),
}

/// Yields once, so that other tasks run.
async fn give_way() {
    let mut gave = false;
    let turn = poll_fn(|context| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    turn.await;
}

#[Object]
impl Thing {
    async fn number(&self) -> i64 {
        self.number
    }

    async fn text(&self, #[graphql(default)] suffix: String) -> String {
        format!("{}{suffix}", self.number)
    }

    async fn nothing(&self) -> Option<i64> {
        None
    }

    async fn wrong(&self) -> Result<Option<i64>> {
        Err("wrong".into())
    }

    async fn later(&self) -> i64 {
        give_way().await;
        self.number
    }

    async fn wrong_later(&self) -> Result<Option<i64>> {
        give_way().await;
        Err("wrong, later".into())
    }

    /// It waits, and no constant says so.
    async fn unsaid(&self) -> i64 {
        give_way().await;
        self.number
    }

    async fn parts(&self) -> Vec<AtOnce<Part>> {
        vec![AtOnce(Part), AtOnce(Part)]
    }
}

#[Object]
impl Part {
    async fn name(&self) -> &str {
        "part"
    }

    async fn later(&self) -> i64 {
        give_way().await;
        7
    }
}

impl Prompt for Thing {
    const WAITING: &'static [&'static str] = &["later", "wrongLater"];
}

impl Prompt for Part {
    const WAITING: &'static [&'static str] = &["later"];
}

/// The field `things` as this file resolves it, or as the library does.
struct Root<const AT_ONCE: bool>;

#[Object]
impl Root<true> {
    async fn things(&self) -> Vec<AtOnce<Thing>> {
        (0..3).map(|number| AtOnce(Thing { number })).collect()
    }

    async fn numbered(&self) -> Numbered {
        Numbered::Thing(Thing { number: 1 })
    }
}

#[Object]
impl Root<false> {
    async fn things(&self) -> Vec<Thing> {
        (0..3).map(|number| Thing { number }).collect()
    }

    async fn numbered(&self) -> Numbered {
        Numbered::Thing(Thing { number: 1 })
    }
}

#[tokio::test]
async fn values_and_errors_are_those_of_the_library() {
    let ours = Schema::new(Root::<true>, EmptyMutation, EmptySubscription);
    let theirs = Schema::new(Root::<false>, EmptyMutation, EmptySubscription);
    let named = |sdl: String| sdl.replace("RootTrue", "Root").replace("RootFalse", "Root");
    assert_eq!(named(ours.sdl()), named(theirs.sdl()));
    let of_all_kinds = "later wrong number wrongLater nothing __typename unsaid";
    for selected in [
        "number",
        "number text(suffix: \"x\") nothing",
        "later number other: text(suffix: \"y\") unsaid",
        of_all_kinds,
        "wrong wrongLater wrong2: wrong",
        "__typename me: __typename",
        "parts { name later __typename }",
        "later parts { name } number",
        "number number parts { name } parts { later }",
        "number @include(if: false) text @skip(if: false)",
        "... { number ... on Thing { text later } }",
        "... on Numbered { number } text",
        "...all wrong",
        "... { wrong } ...all",
        &format!("... {{ {of_all_kinds} }} parts {{ ...part }}"),
    ] {
        let document = format!(
            "{{ things {{ {selected} }} used: things {{ ...all parts {{ ...part }} }} }}
            fragment all on Thing {{ later number }} fragment part on Part {{ name later }}"
        );
        let (ours, theirs) = (shown(&ours, &document).await, shown(&theirs, &document).await);
        assert_eq!(ours, theirs, "{selected}");
        assert!(ours.0["things"].is_array(), "{ours:?}");
    }
}

#[tokio::test]
async fn fields_keep_the_order_in_which_they_were_asked_for() {
    let schema = Schema::new(Root::<true>, EmptyMutation, EmptySubscription);
    let answer = schema.execute("{ things { later number unsaid wrongLater __typename } }").await;
    let shown = serde_json::to_string(&answer.data).unwrap();
    let first = "{\"things\":[{\"later\":0,\"number\":0,\"unsaid\":0,";
    assert!(shown.starts_with(first), "{shown}");
}

/// The data of an answer, and its errors in any order.
async fn shown<Q: ObjectType + 'static>(
    schema: &Schema<Q, EmptyMutation, EmptySubscription>,
    document: &str,
) -> (serde_json::Value, Vec<String>) {
    let answer = schema.execute(document).await;
    let mut errors: Vec<_> =
        answer.errors.iter().map(|error| serde_json::to_string(error).unwrap()).collect();
    errors.sort_unstable();
    (serde_json::to_value(&answer.data).unwrap(), errors)
}

#[test]
fn a_field_selects_what_is_below_it_and_perhaps_what_a_fragment_has() {
    let mut request = async_graphql::Request::new("{ a { b { c } } } ");
    let document = request.parsed_query().unwrap();
    let operation = crate::limits::operation(document, None).unwrap();
    let Selection::Field(field) = &operation.selection_set.node.items[0].node else {
        panic!("a field")
    };
    assert!(selects(&field.node, &["a"]) && selects(&field.node, &["x", "c"]));
    assert!(!selects(&field.node, &["x"]) && !selects(&field.node, &[]));
}
