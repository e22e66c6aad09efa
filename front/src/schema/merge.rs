//! The types of both APIs as those of one schema.
//!
//! Each API has a schema of its own, as text (SDL) with the directives of federation. Each root
//! comes from the API that answers its operations: queries and subscriptions from the query API,
//! mutations from the command API. A type that both have gets the fields of both. Types that no
//! root leads to are left out.
//!
//! An operation goes to one API, so a mutation answers only the fields that the command API has.
//! The types could say that only with a second name for the same thing, so the descriptions say it.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::Positioned;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputObjectType, InputValueDefinition, SchemaDefinition, Type,
    TypeDefinition, TypeKind, TypeSystemDefinition,
};

use crate::api::Api;
use crate::conflict::Conflict;

/// The types of one schema, by name.
type Types = BTreeMap<String, TypeDefinition>;

/// The names of the roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Roots {
    pub(super) query: String,
    pub(super) mutation: Option<String>,
    pub(super) subscription: Option<String>,
}

/// The types of both APIs.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) types: Types,
    pub(super) roots: Roots,
}

/// The types of one API.
struct Subgraph {
    types: Types,
    /// The names of its own roots, whether it has them or not.
    roots: [String; 3],
}

/// The types of both APIs, of the text of each.
pub(super) fn merged(commands: &str, queries: &str) -> Result<Merged, Conflict> {
    let mut commands = Subgraph::parse(Api::Command, commands)?;
    let mut queries = Subgraph::parse(Api::Query, queries)?;
    commands.note_what_is_partial(&queries);
    let mut roots = Types::new();
    let [query, _, subscription] = queries.take_roots();
    let [_, mutation, _] = commands.take_roots();
    let mut root = |found: Option<TypeDefinition>| {
        let name = found.as_ref().map(|found| found.name.node.to_string());
        roots.extend(name.clone().zip(found));
        name
    };
    let [query, mutation, subscription] = [query, mutation, subscription].map(&mut root);
    let query = query
        .ok_or_else(|| Conflict::Together(format!("{} has no queries", Api::Query.title())))?;
    let mut types = queries.types;
    // The query API comes first: of two descriptions, the first one stays.
    for (name, definition) in commands.types.into_iter().chain(roots) {
        add(&mut types, name, definition)?;
    }
    let roots = Roots { query, mutation, subscription };
    let reached = reached(&types, &roots);
    types.retain(|name, _| reached.contains(name));
    Ok(Merged { types, roots })
}

impl Subgraph {
    fn parse(api: Api, text: &str) -> Result<Self, Conflict> {
        let document =
            parse_schema(text).map_err(|error| Conflict::Schema(api.title(), error.to_string()))?;
        let (mut types, mut roots) =
            (Types::new(), ["Query", "Mutation", "Subscription"].map(str::to_owned));
        for definition in document.definitions {
            match definition {
                TypeSystemDefinition::Schema(schema) => name_roots(&schema.node, &mut roots),
                TypeSystemDefinition::Type(definition) => {
                    let definition = definition.node;
                    add(&mut types, definition.name.node.to_string(), definition)?;
                }
                // Directives of federation are for a router, and every schema has the others.
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        Ok(Self { types, roots })
    }

    /// Adds a note to each field whose type has more fields in the other API: only the fields of
    /// this API are answered.
    fn note_what_is_partial(&mut self, other: &Self) {
        let partial = |(name, definition): (&String, &TypeDefinition)| {
            let (own, others) = (fields_of(definition)?, fields_of(other.types.get(name)?)?);
            let has = |name: &&str| own.contains(name);
            (!others.iter().all(has)).then(|| (name.clone(), own.join("`, `")))
        };
        let partial: BTreeMap<String, String> = self.types.iter().filter_map(partial).collect();
        for definition in self.types.values_mut() {
            let TypeKind::Object(object) = &mut definition.kind else { continue };
            for field in &mut object.fields {
                let Some(own) = partial.get(base(&field.node.ty.node)) else { continue };
                let note = format!("Only `{own}` is answered here. Ask for the rest in a query.");
                let text = match &field.node.description {
                    Some(text) => format!("{}\n\n{note}", text.node),
                    None => note,
                };
                field.node.description = Some(Positioned::new(text, field.pos));
            }
        }
    }

    /// Takes its roots out.
    fn take_roots(&mut self) -> [Option<TypeDefinition>; 3] {
        self.roots.each_ref().map(|name| self.types.remove(name))
    }
}

/// The names of the fields of an object.
fn fields_of(definition: &TypeDefinition) -> Option<Vec<&str>> {
    let TypeKind::Object(object) = &definition.kind else { return None };
    Some(object.fields.iter().map(|field| field.node.name.node.as_str()).collect())
}

fn name_roots(schema: &SchemaDefinition, roots: &mut [String; 3]) {
    let named = [&schema.query, &schema.mutation, &schema.subscription];
    for (root, name) in roots.iter_mut().zip(named) {
        if let Some(name) = name {
            *root = name.node.to_string();
        }
    }
}

/// Adds a type, or its fields to the type of the same name.
fn add(types: &mut Types, name: String, definition: TypeDefinition) -> Result<(), Conflict> {
    let Some(known) = types.get_mut(&name) else {
        types.insert(name, definition);
        return Ok(());
    };
    join(known, definition).map_err(|why| Conflict::Type(name, why))
}

fn join(known: &mut TypeDefinition, more: TypeDefinition) -> Result<(), String> {
    if known.description.is_none() {
        known.description = more.description;
    }
    match (&mut known.kind, more.kind) {
        (TypeKind::Scalar, TypeKind::Scalar) => Ok(()),
        (TypeKind::Object(known), TypeKind::Object(more)) => {
            add_new(&mut known.implements, more.implements, ToString::to_string);
            add_fields(&mut known.fields, more.fields)
        }
        (TypeKind::Interface(known), TypeKind::Interface(more)) => {
            add_new(&mut known.implements, more.implements, ToString::to_string);
            add_fields(&mut known.fields, more.fields)
        }
        (TypeKind::Union(known), TypeKind::Union(more)) => {
            add_new(&mut known.members, more.members, ToString::to_string);
            Ok(())
        }
        (TypeKind::Enum(known), TypeKind::Enum(more)) => {
            add_new(&mut known.values, more.values, |value| value.value.node.to_string());
            Ok(())
        }
        (TypeKind::InputObject(known), TypeKind::InputObject(more)) => same_input(known, &more),
        _ => Err("it is of two kinds".to_owned()),
    }
}

/// Adds what has a name that is new.
fn add_new<T>(
    known: &mut Vec<Positioned<T>>,
    more: Vec<Positioned<T>>,
    name: impl Fn(&T) -> String,
) {
    let names: BTreeSet<String> = known.iter().map(|one| name(&one.node)).collect();
    known.extend(more.into_iter().filter(|one| !names.contains(&name(&one.node))));
}

fn add_fields(
    known: &mut Vec<Positioned<FieldDefinition>>,
    more: Vec<Positioned<FieldDefinition>>,
) -> Result<(), String> {
    let signature = |field: &FieldDefinition| (shapes(&field.arguments), field.ty.node.clone());
    for field in &more {
        let name = &field.node.name.node;
        let other = known.iter().find(|known| known.node.name.node == *name);
        if other.is_some_and(|other| signature(&other.node) != signature(&field.node)) {
            return Err(format!("its field {name} has two types"));
        }
    }
    add_new(known, more, |field| field.name.node.to_string());
    Ok(())
}

/// What a client writes must be understood by the API that it goes to. So both must know the same.
fn same_input(known: &InputObjectType, more: &InputObjectType) -> Result<(), String> {
    if shapes(&known.fields) == shapes(&more.fields) {
        Ok(())
    } else {
        Err("as an input it has other fields".to_owned())
    }
}

/// The names and types of inputs.
fn shapes(inputs: &[Positioned<InputValueDefinition>]) -> BTreeMap<String, String> {
    let shape = |input: &Positioned<InputValueDefinition>| {
        (input.node.name.node.to_string(), input.node.ty.node.to_string())
    };
    inputs.iter().map(shape).collect()
}

/// The names of all types that can be reached from the roots.
fn reached(types: &Types, roots: &Roots) -> BTreeSet<String> {
    let others = [&roots.mutation, &roots.subscription].into_iter().flatten();
    let mut next: Vec<&str> = others.chain([&roots.query]).map(String::as_str).collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = next.pop() {
        if reached.insert(name.to_owned())
            && let Some(definition) = types.get(name)
        {
            add_used(types, definition, &mut next);
        }
    }
    reached
}

/// Adds the names of the types that a type leads to.
fn add_used<'t>(types: &'t Types, definition: &'t TypeDefinition, next: &mut Vec<&'t str>) {
    let inputs = |inputs: &'t [Positioned<InputValueDefinition>], next: &mut Vec<&'t str>| {
        next.extend(inputs.iter().map(|input| base(&input.node.ty.node)));
    };
    let (fields, implements) = match &definition.kind {
        TypeKind::Object(object) => (&object.fields, &object.implements),
        TypeKind::Interface(interface) => {
            // What an interface stands for can be anything that implements it.
            let implementing = types.iter().filter(|(_, other)| {
                matches!(&other.kind, TypeKind::Object(object)
                    if object.implements.iter().any(|name| name.node == definition.name.node))
            });
            next.extend(implementing.map(|(name, _)| name.as_str()));
            (&interface.fields, &interface.implements)
        }
        TypeKind::Union(union) => {
            return next.extend(union.members.iter().map(|member| member.node.as_str()));
        }
        TypeKind::InputObject(input) => return inputs(&input.fields, next),
        TypeKind::Scalar | TypeKind::Enum(_) => return,
    };
    next.extend(implements.iter().map(|name| name.node.as_str()));
    for field in fields {
        next.push(base(&field.node.ty.node));
        inputs(&field.node.arguments, next);
    }
}

/// The name of a type without its lists and marks.
pub(super) fn base(of: &Type) -> &str {
    match &of.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => base(inner),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const COMMANDS: &str = r#"
        type Query { "Who asks." viewer: Viewer }
        type Viewer { id: ID }
        type Mutation { place(input: Place!): Placed! }
        input Place { kind: Kind! lines: [Line!]! }
        input Line { n: Int! }
        enum Kind { A B }
        type Placed { "The order." order: Order }
        type Order @key(fields: "id", resolvable: false) { id: ID! }
        extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])
    "#;
    const QUERIES: &str = r#"
        type Query { order(id: ID!): Order node(id: ID!): Node }
        type Subscription { orders(first: Int = 5): Order! }
        interface Node { id: ID! }
        type User implements Node { id: ID! name: String }
        "An order."
        type Order implements Node @key(fields: "id") { id: ID! kind: Kind! at: DateTime }
        enum Kind { B C }
        scalar DateTime
    "#;

    fn names(merged: &Merged) -> Vec<&str> {
        merged.types.keys().map(String::as_str).collect()
    }

    fn refused(commands: &str, queries: &str) -> String {
        merged(commands, queries).unwrap_err().to_string()
    }

    #[test]
    fn each_root_comes_from_its_api_and_what_both_have_is_joined() {
        let merged = merged(COMMANDS, QUERIES).unwrap();
        assert_eq!(
            names(&merged),
            [
                "DateTime",
                "Kind",
                "Line",
                "Mutation",
                "Node",
                "Order",
                "Place",
                "Placed",
                "Query",
                "Subscription",
                "User",
            ]
        );
        let TypeKind::Object(order) = &merged.types["Order"].kind else { panic!("an object") };
        let fields: Vec<&str> =
            order.fields.iter().map(|field| field.node.name.node.as_str()).collect();
        assert_eq!(fields, ["id", "kind", "at"]);
        let TypeKind::Enum(kind) = &merged.types["Kind"].kind else { panic!("an enum") };
        assert_eq!(kind.values.len(), 3);
        let TypeKind::Object(query) = &merged.types["Query"].kind else { panic!("an object") };
        assert_eq!(query.fields.len(), 2, "the command API's queries are not served here");
    }

    #[test]
    fn what_a_mutation_does_not_answer_is_said_where_it_would_be_asked_for() {
        let merged = merged(COMMANDS, QUERIES).unwrap();
        let described = |name: &str| {
            let TypeKind::Object(object) = &merged.types[name].kind else { panic!("an object") };
            let first = &object.fields[0].node;
            first.description.as_ref().map(|text| text.node.clone()).unwrap_or_default()
        };
        let note = "The order.\n\nOnly `id` is answered here. Ask for the rest in a query.";
        assert_eq!(described("Placed"), note);
        assert_eq!(described("Mutation"), "", "the command API has all of what it answers");
        assert_eq!(described("Query"), "");
    }

    #[test]
    fn roots_may_have_other_names() {
        let queries =
            format!("{} schema {{ query: Root }}", QUERIES.replace("type Query", "type Root"));
        let merged = merged(COMMANDS, &queries).unwrap();
        assert_eq!(merged.roots.query, "Root");
        assert!(!merged.types.contains_key("Query"));
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        for (queries, said) in [
            ("type Query { o: Order } type Order { id: Int! }", "its field id has two types"),
            ("type Query { o: Line } type Line { n: Int! }", "it is of two kinds"),
            ("type Query { o(l: Line): Int } input Line { m: Int! }", "it has other fields"),
            ("type Mutation { o: Int }", "the query API has no queries"),
        ] {
            let refused = refused(COMMANDS, queries);
            assert!(refused.contains(said), "{refused}");
        }
        assert!(refused("type", QUERIES).starts_with("the GraphQL schema of the command API"));
    }
}
