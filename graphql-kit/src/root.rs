//! The field of a subscription. The library looks for it at the root itself, and not in fragments.

use std::collections::HashSet;

use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, Selection,
    SelectionSet,
};
use async_graphql::{Name, Positioned};

use crate::limits;

/// The name of the root of subscriptions.
const ROOT: &str = "Subscription";
/// The directives that a subscription must not have at its root.
const CONDITIONS: [&str; 2] = ["skip", "include"];

/// A subscription whose field may be left out, or is in a fragment of another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at its root, a subscription has no `@skip` or `@include`, and only fragments on `{ROOT}`")]
pub(crate) struct Conditional;

/// The document with the field of its subscription at the root, if fragments hold it. `None` if the
/// document is such a one already. It has passed [`limits::check`], so there is one field.
pub(crate) fn lifted(
    document: &ExecutableDocument,
    name: Option<&str>,
) -> Result<Option<ExecutableDocument>, Conditional> {
    let Some(operation) = limits::operation(document, name) else { return Ok(None) };
    let (mut used, set) = (Vec::new(), &operation.selection_set.node);
    let field = only_field(document, set, &mut used)?;
    if matches!(set.items.as_slice(), [item] if matches!(item.node, Selection::Field(_))) {
        return Ok(None);
    }
    let field = Positioned::new(Selection::Field(field.clone()), field.pos);
    let mut lifted = document.clone();
    if let Some(operation) = operation_mut(&mut lifted.operations, name) {
        operation.selection_set.node.items = vec![field];
    }
    // A fragment that nothing uses is refused, and so is one that is missing. Another operation may
    // use it, too. The outer ones come first.
    let mut spread = HashSet::new();
    for (_, operation) in lifted.operations.iter() {
        note_spread(&operation.node.selection_set.node, &mut spread);
    }
    for name in used {
        if !spread.contains(&name) {
            lifted.fragments.remove(&name);
        } else if let Some(fragment) = lifted.fragments.get(&name) {
            note_spread(&fragment.node.selection_set.node, &mut spread);
        }
    }
    Ok(Some(lifted))
}

/// Notes the fragments that a selection names. [`limits::check`] bounds how deep it is.
fn note_spread(set: &SelectionSet, spread: &mut HashSet<Name>) {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => note_spread(&field.node.selection_set.node, spread),
            Selection::InlineFragment(inline) => {
                note_spread(&inline.node.selection_set.node, spread);
            }
            Selection::FragmentSpread(named) => {
                spread.insert(named.node.fragment_name.node.clone());
            }
        }
    }
}

fn operation_mut<'o>(
    operations: &'o mut DocumentOperations,
    name: Option<&str>,
) -> Option<&'o mut OperationDefinition> {
    let operation = match (operations, name) {
        (DocumentOperations::Single(operation), _) => operation,
        (DocumentOperations::Multiple(all), Some(name)) => all.get_mut(name)?,
        (DocumentOperations::Multiple(all), None) => all.values_mut().next()?,
    };
    Some(&mut operation.node)
}

/// The one field of a selection. Notes the named fragments around it.
fn only_field<'d>(
    document: &'d ExecutableDocument,
    set: &'d SelectionSet,
    used: &mut Vec<Name>,
) -> Result<&'d Positioned<Field>, Conditional> {
    let [item] = set.items.as_slice() else { return Err(Conditional) };
    if item.node.directives().iter().any(is_condition) {
        return Err(Conditional);
    }
    match &item.node {
        Selection::Field(field) => Ok(field),
        Selection::InlineFragment(inline) => {
            let of = inline.node.type_condition.as_ref();
            if of.is_some_and(|of| of.node.on.node != ROOT) {
                return Err(Conditional);
            }
            only_field(document, &inline.node.selection_set.node, used)
        }
        Selection::FragmentSpread(spread) => {
            let name = &spread.node.fragment_name.node;
            let fragment = &document.fragments.get(name).ok_or(Conditional)?.node;
            if fragment.type_condition.node.on.node != ROOT {
                return Err(Conditional);
            }
            used.push(name.clone());
            only_field(document, &fragment.selection_set.node, used)
        }
    }
}

fn is_condition(directive: &Positioned<Directive>) -> bool {
    CONDITIONS.contains(&directive.node.name.node.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use async_graphql::parser::parse_query;

    use super::*;

    fn root(document: &ExecutableDocument) -> String {
        let operation = limits::operation(document, None).unwrap();
        let [item] = operation.selection_set.node.items.as_slice() else { return String::new() };
        let Selection::Field(field) = &item.node else { return String::new() };
        format!("{} {}", field.node.response_key().node, document.fragments.len())
    }

    #[test]
    fn the_field_of_a_subscription_comes_to_the_root_with_all_that_it_uses() {
        let below = "fragment G on Order { id }";
        for (text, expected) in [
            ("subscription { ...F } fragment F on Subscription { a: b { ...G } }", "a 1"),
            ("subscription { ... { ... on Subscription { b { ...G } } } }", "b 1"),
        ] {
            let document = parse_query(format!("{text} {below}")).unwrap();
            assert_eq!(root(&lifted(&document, None).unwrap().unwrap()), expected, "{text}");
        }
        let shared = "subscription A { ...F } subscription B { ...F }
            fragment F on Subscription { ...E } fragment E on Subscription { b }";
        let document = lifted(&parse_query(shared).unwrap(), Some("A")).unwrap().unwrap();
        assert_eq!(document.fragments.len(), 2, "another operation uses them");
        let plain = parse_query("subscription { a }").unwrap();
        assert!(lifted(&plain, None).unwrap().is_none());
    }

    #[test]
    fn a_root_that_may_be_left_out_or_is_of_another_type_is_refused() {
        for text in [
            "subscription { a @include(if: true) }",
            "subscription { ...F @skip(if: false) } fragment F on Subscription { a }",
            "subscription { ... @include(if: true) { a } }",
            "subscription { ...F } fragment F on Query { a }",
            "subscription { ... on Query { a } }",
            "subscription { ...F }",
        ] {
            let document = parse_query(text).unwrap();
            assert_eq!(lifted(&document, None).unwrap_err(), Conditional, "{text}");
        }
    }
}
