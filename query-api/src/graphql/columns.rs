//! The columns of a list's rows: only those that the query asks for are read. A page of rows with
//! all of their columns costs several times as much.

use async_graphql::Positioned;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use postgres_kit::{Columns, TableRow};

/// A field of a row's object, and the columns that it shows.
pub(super) type Shown = (&'static str, &'static [&'static str]);

/// The columns that a connection's items need: `always`, and those of the fields that the query
/// asks for. All columns, if it asks for fields in a fragment, or for one that `shown` lacks.
pub(super) fn columns<R: TableRow>(
    connection: &Field,
    shown: &[Shown],
    always: &[&'static str],
) -> Columns {
    let mut names = always.to_vec();
    let is_known = each(&connection.selection_set, |field| match field.name.node.as_str() {
        "nodes" => add(&mut names, &field.selection_set, shown),
        "edges" => each(&field.selection_set, |field| {
            field.name.node != "node" || add(&mut names, &field.selection_set, shown)
        }),
        _ => true,
    });
    if is_known { Columns::named::<R>(|name| names.contains(&name)) } else { Columns::ALL }
}

/// Adds the columns of an item's fields. Returns whether all of these are known.
fn add(names: &mut Vec<&'static str>, item: &Positioned<SelectionSet>, shown: &[Shown]) -> bool {
    each(item, |field| {
        let name = field.name.node.as_str();
        let columns = shown.iter().find(|(field, _)| *field == name);
        names.extend(columns.iter().flat_map(|(_, columns)| *columns));
        columns.is_some() || name == "__typename"
    })
}

/// Calls `known` with each field. Returns whether it knows them all and there is no fragment.
fn each(set: &Positioned<SelectionSet>, mut known: impl FnMut(&Field) -> bool) -> bool {
    set.node.items.iter().all(|selection| match &selection.node {
        Selection::Field(field) => known(&field.node),
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => false,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::DocumentOperations;

    use super::*;
    use crate::read::user::UserRow;

    const SHOWN: &[Shown] = &[("name", &["name"]), ("total", &["total_spent", "version"])];

    fn read(below: &str) -> String {
        let document = parse_query(format!("{{ users {below} }}")).unwrap();
        let DocumentOperations::Single(operation) = document.operations else { panic!() };
        let Selection::Field(users) = &operation.node.selection_set.node.items[0].node else {
            panic!()
        };
        let columns = columns::<UserRow>(&users.node, SHOWN, &["created_at"]);
        if columns == Columns::ALL {
            return "all".to_owned();
        }
        columns.names::<UserRow>().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_list_reads_what_is_asked_for_and_all_that_it_does_not_know() {
        for (below, columns) in [
            ("{ nodes { name } }", "id name created_at"),
            ("{ nodes { n: name __typename } pageInfo { endCursor } }", "id name created_at"),
            ("{ edges { cursor node { total { x } } } }", "id total_spent created_at version"),
            ("{ edges { cursor } }", "id created_at"),
            (
                "{ nodes { name } edges { node { total } } }",
                "id name total_spent created_at version",
            ),
            ("{ nodes { name other } }", "all"),
            ("{ nodes { ... on User { name } } }", "all"),
            ("{ ...page }", "all"),
            ("{ edges { ... { node { name } } } }", "all"),
        ] {
            assert_eq!(read(below), columns, "{below}");
        }
    }
}
