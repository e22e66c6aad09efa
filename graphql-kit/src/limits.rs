//! What a document may cost. Everything is checked before anything is executed.
//!
//! A small text can stand for much work: fields under aliases, fragments that use fragments, and
//! lists within lists. So fields are counted as they are executed, with every fragment in its
//! place, and values as they are answered, with every list as long as it may be ([`Lengths`]).
//! Counting takes time in proportion to the text, because each fragment is counted once.

use std::collections::HashMap;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Name, ObjectType, Positioned, SchemaBuilder, SubscriptionType};
use service_kit::config::Switch;

mod lengths;

pub use lengths::{DEFAULT_FIRST, Lengths};

/// The maximum number of fields that one operation executes, with every fragment in its place.
pub const MAX_FIELDS: usize = 1_000;
/// The maximum number of levels of fields.
pub const MAX_DEPTH: usize = 15;
/// The maximum number of fields of a mutation. They are carried out one after another.
pub const MAX_MUTATIONS: usize = 20;
/// The maximum number of fields of a query. Each is a question of its own.
pub const MAX_QUERIES: usize = 50;
/// The maximum number of values in an answer, with every list as long as it may be.
pub const MAX_VALUES: usize = 20_000;
/// The maximum number of values of the schema in an answer, with lists of the usual lengths. The
/// tools that read a whole schema ask for some 70,000.
pub const MAX_SCHEMA_VALUES: usize = 100_000;
/// The maximum number of aliases in a document.
pub const MAX_ALIASES: usize = 50;
/// The maximum number of directives in a document.
pub const MAX_DIRECTIVES: usize = 50;
/// The maximum number of operations and fragments in a document.
pub const MAX_DEFINITIONS: usize = 50;
/// The maximum number of open brackets at any place of the text. The parser calls itself for each.
pub const MAX_BRACKETS: usize = 64;
/// The fields of the query root that lead to the schema's types.
const SCHEMA: [&str; 2] = ["__schema", "__type"];
/// The field of the query root with the text of the schema, for federation.
const SERVICE: &str = "_service";

/// Whether clients may ask for the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introspection {
    /// They may.
    Enabled,
    /// They may not: neither by introspection nor by the `_service` field of federation.
    Disabled,
}

impl From<Switch> for Introspection {
    fn from(setting: Switch) -> Self {
        match setting {
            Switch::Enabled => Self::Enabled,
            Switch::Disabled => Self::Disabled,
        }
    }
}

/// Why a document is not executed. It is answered with 400 and this text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooCostly {
    /// Too many levels of fields.
    #[error("the operation has more than {MAX_DEPTH} levels of fields")]
    Depth,
    /// Too many fields.
    #[error("the operation executes more than {MAX_FIELDS} fields")]
    Fields,
    /// Too many fields of a mutation.
    #[error("a mutation has at most {MAX_MUTATIONS} fields at its root")]
    Mutations,
    /// Too many fields of a query.
    #[error("a query has at most {MAX_QUERIES} fields at its root")]
    Queries,
    /// Not exactly one field of a subscription. Each is a stream of its own.
    #[error("a subscription has exactly one field at its root")]
    Subscriptions,
    /// Too many values in the answer.
    #[error("the answer may have more than {MAX_VALUES} values: ask for shorter lists")]
    Values,
    /// Too many values of the schema.
    #[error("the answer may have more than {MAX_SCHEMA_VALUES} values of the schema")]
    Schema,
    /// Too many aliases.
    #[error("the document has more than {MAX_ALIASES} aliases")]
    Aliases,
    /// Too many directives.
    #[error("the document has more than {MAX_DIRECTIVES} directives")]
    Directives,
    /// Too many operations and fragments.
    #[error("the document has more than {MAX_DEFINITIONS} operations and fragments")]
    Definitions,
    /// Too many open brackets.
    #[error("the document has more than {MAX_BRACKETS} open brackets")]
    Brackets,
    /// A fragment uses itself, so the document has no end.
    #[error("a fragment uses itself")]
    Circular,
    /// The schema is not shown.
    #[error("introspection is turned off")]
    Introspection,
}

/// Sets a schema's own limits to these, and turns introspection off if it is not wanted.
pub fn limited<Q, M, S>(
    schema: SchemaBuilder<Q, M, S>,
    introspection: Introspection,
) -> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let schema = schema
        .limit_complexity(MAX_FIELDS)
        .limit_depth(MAX_DEPTH)
        .limit_recursive_depth(MAX_BRACKETS)
        .limit_directives(MAX_DIRECTIVES);
    match introspection {
        Introspection::Enabled => schema,
        // The suggestions of an error message show the names of fields.
        Introspection::Disabled => schema.disable_introspection().disable_suggestions(),
    }
}

/// Checks a text before it is parsed. Brackets within strings and comments count too: no document
/// of a client needs so many.
///
/// # Errors
/// [`TooCostly::Brackets`].
pub fn check_text(text: &str) -> Result<(), TooCostly> {
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' => open += 1,
            b'}' | b']' | b')' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_BRACKETS {
            return Err(TooCostly::Brackets);
        }
    }
    Ok(())
}

/// Checks a parsed document.
///
/// # Errors
/// [`TooCostly`].
pub fn check(
    document: &ExecutableDocument,
    lengths: Lengths<'_>,
    shown: Introspection,
) -> Result<(), TooCostly> {
    if document.operations.iter().count() + document.fragments.len() > MAX_DEFINITIONS {
        return Err(TooCostly::Definitions);
    }
    let (aliases, directives, fragments) = (0, 0, HashMap::new());
    let mut counted = Counter { document, lengths, shown, aliases, directives, fragments };
    // A fragment that no operation uses is counted too.
    for name in document.fragments.keys() {
        counted.fragment(name)?;
    }
    for (_, operation) in document.operations.iter() {
        counted.operation(&operation.node)?;
    }
    Ok(())
}

/// Whether the operation that a request names changes something. `None` if there is none of that
/// name, or several and no name.
pub fn operation_type(document: &ExecutableDocument, name: Option<&str>) -> Option<OperationType> {
    operation(document, name).map(|operation| operation.ty)
}

/// The names of the fields at the root of the operation that a request names, with every fragment
/// in its place. The document has passed [`check`], so no fragment uses itself, and together they
/// lead to no more places than fields may be executed.
pub fn root_fields<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    if let Some(operation) = operation(document, name) {
        add_fields(document, &operation.selection_set.node, &mut found);
    }
    found
}

/// The operation that a request names. `None` if there is none of that name, or several and no
/// name.
pub fn operation<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> Option<&'d OperationDefinition> {
    let operation = match (&document.operations, name) {
        (DocumentOperations::Single(operation), _) => operation,
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name)?,
        (DocumentOperations::Multiple(all), None) if all.len() == 1 => all.values().next()?,
        (DocumentOperations::Multiple(_), None) => return None,
    };
    Some(&operation.node)
}

fn add_fields<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet, to: &mut Vec<&'a str>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => to.push(field.node.name.node.as_str()),
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node);
                if let Some(fragment) = fragment {
                    add_fields(document, &fragment.node.selection_set.node, to);
                }
            }
            Selection::InlineFragment(inline) => {
                add_fields(document, &inline.node.selection_set.node, to);
            }
        }
    }
}

/// What a selection costs when it is executed.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    fields: usize,
    depth: usize,
    /// The fields at its first level.
    roots: usize,
    /// The values in the answer.
    values: usize,
    /// The same if all of this is about the schema.
    of_schema: usize,
    /// Whether a field at its first level has the items of a page.
    is_page: bool,
}

impl Cost {
    /// The cost of a field without any below it.
    const FIELD: Self =
        Self { fields: 1, depth: 1, roots: 1, values: 1, of_schema: 1, is_page: false };
}

struct Counter<'a> {
    document: &'a ExecutableDocument,
    lengths: Lengths<'a>,
    shown: Introspection,
    aliases: usize,
    directives: usize,
    /// The costs of fragments; `None` while one is counted.
    fragments: HashMap<Name, Option<Cost>>,
}

impl Counter<'_> {
    fn operation(&mut self, operation: &OperationDefinition) -> Result<(), TooCostly> {
        self.directives(operation.directives.len())?;
        let cost = self.selection(&operation.selection_set)?;
        match operation.ty {
            OperationType::Mutation if cost.roots > MAX_MUTATIONS => Err(TooCostly::Mutations),
            OperationType::Query if cost.roots > MAX_QUERIES => Err(TooCostly::Queries),
            OperationType::Subscription if cost.roots != 1 => Err(TooCostly::Subscriptions),
            _ => Ok(()),
        }
    }

    fn fragment(&mut self, name: &Name) -> Result<Cost, TooCostly> {
        match self.fragments.get(name) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err(TooCostly::Circular),
            None => {}
        }
        // An unknown fragment is refused by the validation that follows, which also follows every
        // fragment in its place. So it counts as a field: otherwise fragments that double each
        // other and lead to it would cost nothing here, and the validation would never end.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Cost::FIELD) };
        self.fragments.insert(name.clone(), None);
        self.directives(fragment.node.directives.len())?;
        let cost = self.selection(&fragment.node.selection_set)?;
        self.fragments.insert(name.clone(), Some(cost));
        Ok(cost)
    }

    fn selection(&mut self, set: &Positioned<SelectionSet>) -> Result<Cost, TooCostly> {
        let mut sum = Cost::default();
        for selection in &set.node.items {
            let cost = self.one(&selection.node)?;
            sum.fields += cost.fields;
            sum.roots += cost.roots;
            sum.depth = sum.depth.max(cost.depth);
            sum.values = sum.values.saturating_add(cost.values);
            sum.of_schema = sum.of_schema.saturating_add(cost.of_schema);
            sum.is_page |= cost.is_page;
            if sum.fields > MAX_FIELDS {
                return Err(TooCostly::Fields);
            }
            if sum.values > MAX_VALUES {
                return Err(TooCostly::Values);
            }
            if sum.depth > MAX_DEPTH {
                return Err(TooCostly::Depth);
            }
        }
        Ok(sum)
    }

    fn one(&mut self, selection: &Selection) -> Result<Cost, TooCostly> {
        match selection {
            Selection::Field(field) => {
                let field = &field.node;
                let is_service = field.name.node == SERVICE;
                if is_service && self.shown == Introspection::Disabled {
                    return Err(TooCostly::Introspection);
                }
                self.directives(field.directives.len())?;
                self.aliases += usize::from(field.alias.is_some());
                if self.aliases > MAX_ALIASES {
                    return Err(TooCostly::Aliases);
                }
                let below = self.selection(&field.selection_set)?;
                let is_schema = SCHEMA.contains(&field.name.node.as_str());
                if is_schema && below.of_schema > MAX_SCHEMA_VALUES {
                    return Err(TooCostly::Schema);
                }
                Ok(self.cost(field, below))
            }
            Selection::FragmentSpread(spread) => {
                self.directives(spread.node.directives.len())?;
                self.fragment(&spread.node.fragment_name.node)
            }
            Selection::InlineFragment(inline) => {
                self.directives(inline.node.directives.len())?;
                self.selection(&inline.node.selection_set)
            }
        }
    }

    /// The cost of a field with these fields below it.
    fn cost(&self, field: &Field, below: Cost) -> Cost {
        let length = self.lengths.of(self.document, field, below.is_page);
        Cost {
            fields: below.fields + 1,
            depth: below.depth + 1,
            roots: 1,
            values: below.values.saturating_mul(length).saturating_add(1),
            of_schema: below.of_schema.saturating_mul(lengths::of_schema(field)).saturating_add(1),
            is_page: lengths::has_items(field),
        }
    }

    fn directives(&mut self, more: usize) -> Result<(), TooCostly> {
        self.directives += more;
        if self.directives > MAX_DIRECTIVES { Err(TooCostly::Directives) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
