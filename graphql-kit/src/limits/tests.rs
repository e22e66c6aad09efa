//! Each limit, exactly.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use async_graphql::parser::parse_query;
use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, Value, Variables};
use serde_json::json;

use super::*;

/// Lists of a field `lines` usually have three items.
const USUAL: &[(&str, usize)] = &[("lines", 3)];

fn checked(text: &str) -> Result<(), TooCostly> {
    checked_with(text, &json!({}))
}

fn checked_with(text: &str, variables: &serde_json::Value) -> Result<(), TooCostly> {
    check_text(text)?;
    let variables = Variables::from_json(variables.clone());
    let lengths = Lengths { variables: &variables, usual: USUAL };
    check(&parse_query(text).unwrap(), lengths, Introspection::Enabled)
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
    let below_one = |count: usize| format!("{{r {{{}}}}}", "a ".repeat(count - 1));
    at_the_limit(MAX_FIELDS, below_one, TooCostly::Fields);
    let query = |count| format!("{{{}}}", "a ".repeat(count));
    at_the_limit(MAX_QUERIES, query, TooCostly::Queries);
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
    let used = |times| format!("{{r {{{}}}}} fragment f on Q {{a b}}", "...f ".repeat(times));
    at_the_limit((MAX_FIELDS - 1) / 2, used, TooCostly::Fields);
    let queries = |times| format!("{{{}}} fragment f on Q {{a b}}", "...f ".repeat(times));
    at_the_limit(MAX_QUERIES / 2, queries, TooCostly::Queries);
    let mutations =
        |times| format!("mutation {{{}}} fragment f on M {{a b}}", "...f ".repeat(times));
    at_the_limit(MAX_MUTATIONS / 2, mutations, TooCostly::Mutations);
    let inline = |times: usize| format!("mutation {{{}}}", "... on M {a} ... {b} ".repeat(times));
    at_the_limit(MAX_MUTATIONS / 2, inline, TooCostly::Mutations);
}

/// A document with two lists, one within the other, of these many items each. Every item has
/// three values.
fn nested(outer: &str, inner: &str) -> String {
    format!("{{ a{outer} {{ edges {{ b{inner} {{ nodes {{ c }} }} }} }} }}")
}

#[test]
fn values_are_counted_with_every_list_as_long_as_it_may_be() {
    // 1 + outer * (2 + inner * 2)
    let first = |first: usize| format!("(first: {first})");
    let values = |inner| nested("(first: 99)", &first(inner));
    at_the_limit(100, values, TooCostly::Values);
    let by_default = |outer: usize| nested(&first(outer), "");
    let most = (MAX_VALUES - 1) / (2 + 2 * DEFAULT_FIRST);
    at_the_limit(most, by_default, TooCostly::Values);
    // 1 + 100 * (1 + 3 * count)
    let usual =
        |count: usize| format!("{{ a(first: 100) {{ lines {{{}}} }} }}", "b ".repeat(count));
    at_the_limit(66, usual, TooCostly::Values);
    let endless = nested("(first: 4294967295)", "(first: 4294967295)");
    assert_eq!(checked(&endless), Err(TooCostly::Values));
}

#[test]
fn the_lengths_of_lists_may_be_in_variables_and_in_fragments() {
    let text = "query ($n: Int = 101) { a(first: 99) { ...f } } \
        fragment f on A { edges { b(first: $n) { ...g } } } fragment g on B { nodes { c } }";
    assert_eq!(checked(text), Err(TooCostly::Values));
    assert_eq!(checked_with(text, &json!({"n": 100})), Ok(()));
    assert_eq!(checked_with(text, &json!({"n": null})), Ok(()), "it is the default of the field");
    let entities = "query ($all: [_Any!]!) { _entities(representations: $all) { ...f } } \
        fragment f on A { edges { a(first: 99) { nodes { c } } } }";
    let all = |count: usize| json!({"all": vec![json!({"__typename": "A"}); count]});
    assert_eq!(checked_with(entities, &all(99)), Ok(()));
    assert_eq!(checked_with(entities, &all(101)), Err(TooCostly::Values));
    let literal = format!("{{ _entities(representations: [{}]) {{ a }} }}", "{}".repeat(20_000));
    assert_eq!(checked(&literal), Err(TooCostly::Values));
}

#[test]
fn fragments_that_double_each_other_are_refused_at_once() {
    let mut text = "{...f0}".to_owned();
    for n in 0..MAX_DEFINITIONS - 2 {
        write!(text, "fragment f{n} on Q {{...f{0} ...f{0}}}", n + 1).unwrap();
    }
    let last = MAX_DEFINITIONS - 2;
    // Also when they lead to nothing: the library's own counting follows each of them.
    for end in ["a", "...unknown"] {
        let text = format!("{text} fragment f{last} on Q {{{end}}}");
        assert_eq!(checked(&text), Err(TooCostly::Fields), "{end}");
    }
}

#[test]
fn a_schema_is_shown_as_a_whole_and_not_again_and_again() {
    // 60 * (1 + 8 * count)
    let fields = |count: usize| {
        format!("{{ __schema {{ types {{ fields {{ {} }} }} }} }}", "name ".repeat(count))
    };
    at_the_limit(208, fields, TooCostly::Schema);
    // As the tools of GraphQL's authors ask for a whole schema.
    let whole = "query IntrospectionQuery { __schema { description queryType { name kind }
        mutationType { name kind } subscriptionType { name kind } types { ...FullType }
        directives { name description isRepeatable locations args(includeDeprecated: true) {
            ...InputValue } } } }
        fragment FullType on __Type { kind name description specifiedByURL isOneOf
            fields(includeDeprecated: true) { name description args(includeDeprecated: true) {
                ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
            inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef }
            enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
            possibleTypes { ...TypeRef } }
        fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue
            isDeprecated deprecationReason }
        fragment TypeRef on __Type { DEEP }";
    let deep = format!("{}kind name{}", "kind name ofType { ".repeat(9), " }".repeat(9));
    assert_eq!(checked(&whole.replace("DEEP", &deep)), Ok(()));
    let of_types = "possibleTypes { interfaces { ".repeat(5);
    for types in ["__schema { types { ", "__type(name: \"Node\") { possibleTypes { "] {
        let end = format!("fields {{ {} }}{}", "name ".repeat(900), " }".repeat(12));
        let text = format!("{{ {types}{of_types}{end} }}");
        assert_eq!(checked(&text), Err(TooCostly::Schema), "{types}");
        let in_fragments = format!(
            "{{ {types} ...F }} }} }} fragment F on __Type {{ {of_types}{}",
            end.strip_suffix(" }").unwrap()
        );
        assert_eq!(checked(&in_fragments), Err(TooCostly::Schema), "{types}");
    }
    assert_eq!(checked("{ types { fields { name } } }"), Ok(()), "these are data");
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
    let lengths = Lengths { variables: &Variables::default(), usual: USUAL };
    assert_eq!(check(&document, lengths, Introspection::Enabled), Ok(()));
    let hidden = check(&document, lengths, Introspection::Disabled);
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

#[test]
fn the_fields_at_the_root_are_found_in_fragments_too() {
    let document = parse_query(
        "query q { a b: c ...f ... on Q { d } } query z { y } fragment f on Q { e { g } }",
    )
    .unwrap();
    assert_eq!(root_fields(&document, Some("q")), ["a", "c", "e", "d"]);
    assert_eq!(root_fields(&document, Some("x")), [""; 0]);
}
