//! Each limit, exactly.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use async_graphql::parser::parse_query;
use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, Value};

use super::*;

fn checked(text: &str) -> Result<(), TooCostly> {
    check_text(text)?;
    check(&parse_query(text).unwrap(), Introspection::Enabled)
}

/// A document that reaches a limit exactly with `most`, and the refusal of one more.
fn at_the_limit(most: usize, document: impl Fn(usize) -> String, refused: TooCostly) {
    assert_eq!(checked(&document(most)), Ok(()), "{refused}");
    assert_eq!(checked(&document(most + 1)), Err(refused));
}

#[test]
fn each_limit_is_exact() {
    let levels = |count| format!("{}{}", "{a".repeat(count), "}".repeat(count));
    at_the_limit(MAX_DEPTH, levels, TooCostly::Depth);
    at_the_limit(MAX_FIELDS, |count| format!("{{{}}}", "a ".repeat(count)), TooCostly::Fields);
    let mutation = |count| format!("mutation {{{}}}", "a ".repeat(count));
    at_the_limit(MAX_MUTATIONS, mutation, TooCostly::Mutations);
    at_the_limit(MAX_ALIASES, |count| format!("{{{}}}", "a:a ".repeat(count)), TooCostly::Aliases);
    let directives = |count| format!("{{a {}}}", "@skip(if:false)".repeat(count));
    at_the_limit(MAX_DIRECTIVES, directives, TooCostly::Directives);
    let definitions = |count| {
        let mut text = "query q0 {a}".to_owned();
        for n in 1..count {
            write!(text, "fragment f{n} on Q {{a}}").unwrap();
        }
        text
    };
    at_the_limit(MAX_DEFINITIONS, definitions, TooCostly::Definitions);
    let brackets =
        |count: usize| format!("{{a(b: {}{})}}", "[".repeat(count - 2), "]".repeat(count - 2));
    at_the_limit(MAX_BRACKETS, brackets, TooCostly::Brackets);
}

#[test]
fn fields_of_fragments_count_wherever_they_are_used() {
    let used = |times| format!("{{{}}} fragment f on Q {{a b}}", "...f ".repeat(times));
    at_the_limit(MAX_FIELDS / 2, used, TooCostly::Fields);
    let mutations =
        |times| format!("mutation {{{}}} fragment f on M {{a b}}", "...f ".repeat(times));
    at_the_limit(MAX_MUTATIONS / 2, mutations, TooCostly::Mutations);
    let inline = |times: usize| format!("mutation {{{}}}", "... on M {a} ... {b} ".repeat(times));
    at_the_limit(MAX_MUTATIONS / 2, inline, TooCostly::Mutations);
}

#[test]
fn fragments_that_double_each_other_are_refused_at_once() {
    let mut text = "{...f0}".to_owned();
    for n in 0..MAX_DEFINITIONS - 2 {
        write!(text, "fragment f{n} on Q {{...f{0} ...f{0}}}", n + 1).unwrap();
    }
    write!(text, "fragment f{} on Q {{a}}", MAX_DEFINITIONS - 2).unwrap();
    assert_eq!(checked(&text), Err(TooCostly::Fields));
}

#[test]
fn a_fragment_that_uses_itself_is_refused() {
    for text in
        ["{...f} fragment f on Q {...f}", "{a} fragment f on Q {a {...g}} fragment g on Q {...f}"]
    {
        assert_eq!(checked(text), Err(TooCostly::Circular), "{text}");
    }
    assert_eq!(checked("{...unknown}"), Ok(()), "the validation says it better");
}

#[test]
fn the_schema_is_not_shown_when_introspection_is_off() {
    let document = parse_query("{_service {sdl}}").unwrap();
    assert_eq!(check(&document, Introspection::Enabled), Ok(()));
    let hidden = check(&document, Introspection::Disabled);
    assert_eq!(hidden, Err(TooCostly::Introspection));
}

struct Query;

#[Object]
impl Query {
    async fn value(&self) -> i32 {
        7
    }
}

#[tokio::test]
async fn a_schema_without_introspection_tells_no_name() {
    let schema =
        |shown| limited(Schema::build(Query, EmptyMutation, EmptySubscription), shown).finish();
    let (open, closed) = (schema(Introspection::Enabled), schema(Introspection::Disabled));
    let names = "{ __schema { queryType { name fields { name } } } }";
    assert!(open.execute(names).await.data.to_string().contains("value"));
    assert_eq!(closed.execute("{ value }").await.data.to_string(), "{value: 7}");
    for query in [names, "{ __type(name: \"Query\") { name fields { name } } }", "{ vale }"] {
        let answer = closed.execute(query).await;
        let told = format!("{} {:?}", answer.data, answer.errors);
        assert!(!told.contains("value"), "{told}");
        assert!(answer.is_err() || answer.data != Value::Null, "{query}");
    }
}

#[test]
fn the_operation_that_a_request_names_is_found() {
    use OperationType::{Mutation, Query};
    let one = parse_query("mutation m {a}").unwrap();
    let two = parse_query("mutation m {a} query q {a}").unwrap();
    assert_eq!(operation_type(&one, None), Some(Mutation));
    assert_eq!(operation_type(&two, Some("q")), Some(Query));
    assert_eq!(operation_type(&two, Some("m")), Some(Mutation));
    assert_eq!(operation_type(&two, Some("z")), None);
    assert_eq!(operation_type(&two, None), None);
}
