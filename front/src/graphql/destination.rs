//! Where a GraphQL request goes: decided by its document alone.

use std::collections::HashSet;

use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Request, ServerError};
use graphql_kit::answer::refusal;
use graphql_kit::limits::Lengths;
use graphql_kit::request::Unreadable;
use graphql_kit::{Introspection, limits};

use crate::api::Api;

/// The names of the fields that ask for the schema begin with this.
const INTROSPECTION: &str = "__";
/// The field that asks for the name of a type. The APIs answer it, too.
const TYPE_NAME: &str = "__typename";

/// Where a request goes.
pub(super) enum Destination {
    /// To this API, as it was sent.
    Api(Api),
    /// Nowhere: it asks for the schema of both APIs.
    Schema(Box<Request>),
}

/// Why a request goes nowhere.
pub(super) enum Refused {
    /// It is no GraphQL request.
    Unreadable(Unreadable),
    /// Its operation cannot be determined.
    NotExecuted(ServerError),
}

/// Decides where a request goes.
pub(super) fn of(read: Result<Request, Unreadable>) -> Result<Destination, Refused> {
    let mut request = read.map_err(Refused::Unreadable)?;
    let costly = |error| Refused::NotExecuted(refusal(error));
    limits::check_text(&request.query).map_err(costly)?;
    let name = request.operation_name.clone();
    // The parsed document borrows the whole request.
    let variables = std::mem::take(&mut request.variables);
    let document = request.parsed_query().map_err(Refused::NotExecuted)?;
    let operation = limits::operation(document, name.as_deref())
        .ok_or_else(|| Refused::NotExecuted(refusal(absent(name.as_deref()))))?;
    match (operation.ty, asks(document, operation)) {
        (OperationType::Mutation, _) => Ok(Destination::Api(Api::Command)),
        (OperationType::Subscription, _) | (OperationType::Query, Asks::Data) => {
            Ok(Destination::Api(Api::Query))
        }
        (OperationType::Query, Asks::Schema) => {
            // What any other operation may cost is up to its API.
            let lengths = Lengths { variables: &variables, usual: &[] };
            limits::check(document, lengths, Introspection::Enabled).map_err(costly)?;
            request.variables = variables;
            Ok(Destination::Schema(Box::new(request)))
        }
        (OperationType::Query, Asks::Both) => Err(Refused::NotExecuted(refusal(
            "ask for the schema (__schema, __type) in a request of its own",
        ))),
    }
}

fn absent(name: Option<&str>) -> String {
    match name {
        Some(name) => format!("the document has no operation {name:?}"),
        None => "the document has several operations: name one in `operationName`".to_owned(),
    }
}

/// What a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Data,
    Schema,
    Both,
}

fn asks(document: &ExecutableDocument, operation: &OperationDefinition) -> Asks {
    let mut roots = Roots { document, names: Vec::new(), seen: HashSet::new() };
    roots.add(&operation.selection_set.node);
    let others = roots.names.into_iter().filter(|name| *name != TYPE_NAME);
    let (schema, data): (Vec<&str>, Vec<&str>) =
        others.partition(|name| name.starts_with(INTROSPECTION));
    match (schema.is_empty(), data.is_empty()) {
        (true, _) => Asks::Data,
        (false, true) => Asks::Schema,
        (false, false) => Asks::Both,
    }
}

/// The fields at the root of an operation. Each fragment counts once, so that this takes time in
/// proportion to the text, and ends also if a fragment uses itself.
struct Roots<'d> {
    document: &'d ExecutableDocument,
    names: Vec<&'d str>,
    seen: HashSet<&'d str>,
}

impl<'d> Roots<'d> {
    fn add(&mut self, set: &'d SelectionSet) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.names.push(field.node.name.node.as_str()),
                Selection::InlineFragment(inline) => {
                    self.add(&inline.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    // The API that the operation goes to refuses an unknown fragment.
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.seen.insert(name.as_str())
                    {
                        self.add(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str, name: Option<&str>) -> String {
        let mut request = Request::new(query);
        request.operation_name = name.map(str::to_owned);
        match of(Ok(request)) {
            Ok(Destination::Api(api)) => api.name().to_owned(),
            Ok(Destination::Schema(_)) => "schema".to_owned(),
            Err(Refused::Unreadable(error)) => error.to_string(),
            Err(Refused::NotExecuted(error)) => error.message,
        }
    }

    #[test]
    fn an_operation_goes_to_the_api_of_its_kind() {
        for (query, name, expected) in [
            ("{ a }", None, "query_api"),
            ("query { a }", None, "query_api"),
            ("mutation { a }", None, "command_api"),
            ("subscription { a }", None, "query_api"),
            ("query Q { a } mutation M { b }", Some("M"), "command_api"),
            ("query Q { a } mutation M { b }", Some("Q"), "query_api"),
            ("mutation M { b }", None, "command_api"),
            ("{ __typename }", None, "query_api"),
            ("mutation { __typename }", None, "command_api"),
            ("{ _service { sdl } }", None, "query_api"),
            ("{ ...F } fragment F on Query { a }", None, "query_api"),
            // The API refuses these.
            ("{ ...F } fragment F on Query { ...F }", None, "query_api"),
            ("{ ...F }", None, "query_api"),
        ] {
            assert_eq!(told(query, name), expected, "{query} {name:?}");
        }
    }

    #[test]
    fn a_question_for_the_schema_is_told_also_in_fragments() {
        for (query, expected) in [
            ("{ __schema { queryType { name } } }", "schema"),
            ("{ t: __type(name: \"A\") { name } __typename }", "schema"),
            ("{ ...F } fragment F on Query { ... { __schema { types { name } } } }", "schema"),
            ("{ a { __typename } }", "query_api"),
        ] {
            assert_eq!(told(query, None), expected, "{query}");
        }
        let mixed = told("{ a ...F } fragment F on Query { __schema { types { name } } }", None);
        assert!(mixed.contains("in a request of its own"), "{mixed}");
    }

    #[test]
    fn a_request_whose_operation_cannot_be_told_is_refused() {
        let two = "query Q { a } mutation M { b }";
        for (query, name, word) in [
            (two, None, "name one in `operationName`"),
            (two, Some("Z"), "no operation \"Z\""),
            ("{", None, "expected"),
        ] {
            let told = told(query, name);
            assert!(told.contains(word), "{query}: {told}");
        }
        let deep = format!("{}a{}", "{ a ".repeat(70), "}".repeat(70));
        assert!(told(&deep, None).contains("open brackets"));
        let wide = "{ __schema { ...F } } fragment F on __Schema { ...F }";
        assert_eq!(told(wide, None), "a fragment uses itself");
        assert_eq!(told_unreadable(), "the request has no `query`");
    }

    fn told_unreadable() -> String {
        match of(Err(Unreadable::NoQuery)) {
            Err(Refused::Unreadable(error)) => error.to_string(),
            _ => String::new(),
        }
    }
}
