//! How long the lists are that a document asks for, as far as that can be told before anything is
//! asked.

use std::convert::Infallible;

use async_graphql::parser::types::{ExecutableDocument, Field};
use async_graphql::{Name, Value, Variables};

/// The number of items on a page if the request does not say how many.
pub const DEFAULT_FIRST: usize = 20;
/// The argument of a field with a page: the maximum number of items.
const FIRST: &str = "first";
/// The fields of a page that have its items.
const ITEMS: [&str; 2] = ["edges", "nodes"];
/// The field of the query root that resolves references, for federation, and its argument.
const ENTITIES: (&str, &str) = ("_entities", "representations");

/// How long the lists of a schema usually are, by the names of the fields that show them. A schema
/// leads from its types to their fields, to the types of these, and so on.
const OF_SCHEMA: [(&str, usize); 8] = [
    // One line each.
    ("args", 2),
    ("directives", 10),
    ("enumValues", 4),
    ("fields", 8),
    ("inputFields", 4),
    ("interfaces", 1),
    ("possibleTypes", 3),
    ("types", 60),
];

/// How many values a field has if it is one of the schema's own.
pub(super) fn of_schema(field: &Field) -> usize {
    let name = field.name.node.as_str();
    OF_SCHEMA.iter().find(|(list, _)| *list == name).map_or(1, |(_, length)| *length)
}

/// What the lengths of lists depend on.
///
/// A field with the argument `first` is a page of so many items, as in Relay's specification. A
/// page without it has [`DEFAULT_FIRST`]. The references of federation are as many as there are.
#[derive(Debug, Clone, Copy)]
pub struct Lengths<'a> {
    /// The variables of the request.
    pub variables: &'a Variables,
    /// The lists without `first`: the names of their fields, and how many items they usually have.
    pub usual: &'static [(&'static str, usize)],
}

/// Whether a field has the items of a page.
pub(super) fn has_items(field: &Field) -> bool {
    ITEMS.contains(&field.name.node.as_str())
}

impl Lengths<'_> {
    /// How many values a field has at most. It is 1 if the field is no list.
    pub(super) fn of(&self, document: &ExecutableDocument, field: &Field, is_page: bool) -> usize {
        let name = field.name.node.as_str();
        if name == ENTITIES.0 {
            return self.given(document, field, ENTITIES.1).unwrap_or(1);
        }
        if let Some((_, length)) = self.usual.iter().find(|(usual, _)| *usual == name) {
            return *length;
        }
        let default = if is_page { DEFAULT_FIRST } else { 1 };
        self.given(document, field, FIRST).unwrap_or(default)
    }

    /// The size of an argument: a number, or the length of a list.
    fn given(&self, document: &ExecutableDocument, field: &Field, name: &str) -> Option<usize> {
        let value = field.get_argument(name)?.node.clone();
        let size_of = |name| Ok::<_, Infallible>(self.size_of(document, &name).into());
        let Ok(value) = value.into_const_with(size_of);
        size(&value)
    }

    /// The size of a variable; without a value, that of its default. Several operations may have
    /// one of that name, and fragments belong to all of them: then it is the largest default.
    fn size_of(&self, document: &ExecutableDocument, name: &Name) -> Option<usize> {
        if let Some(value) = self.variables.get(name) {
            return size(value);
        }
        let definitions = document
            .operations
            .iter()
            .flat_map(|(_, operation)| &operation.node.variable_definitions);
        let defaults = definitions
            .filter(|definition| definition.node.name.node == *name)
            .filter_map(|definition| size(&definition.node.default_value.as_ref()?.node));
        defaults.max()
    }
}

fn size(value: &Value) -> Option<usize> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        Value::List(items) => Some(items.len()),
        _ => None,
    }
}
