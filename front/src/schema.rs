//! The schema of both APIs, which answers only questions for itself.

use async_graphql::dynamic::{
    Enum, EnumItem, Field, FieldFuture, InputObject, InputValue, Interface, InterfaceField, Object,
    Scalar, Schema as Executable, SchemaError, Subscription, SubscriptionField,
    SubscriptionFieldFuture, Type as Made, TypeRef, Union,
};
use async_graphql::futures_util::stream;
use async_graphql::parser::types::{
    BaseType, ConstDirective, EnumType, FieldDefinition, InputObjectType, InputValueDefinition,
    InterfaceType, ObjectType, Type, TypeDefinition, TypeKind, UnionType,
};
use async_graphql::{Positioned, Value};
use graphql_kit::limits::{MAX_BRACKETS, MAX_DEPTH, MAX_DIRECTIVES, MAX_FIELDS};

use crate::api::{Api, Both};
use crate::conflict::Conflict;

mod merge;

use merge::{Merged, merged};

/// The reason of a deprecation that gives none, as the standard has it.
const NO_REASON: &str = "No longer supported";

/// What an API says of its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SchemaText {
    /// The schema.
    Shown(String),
    /// It does not show it.
    Hidden,
    /// It has none.
    Absent,
}

/// The schema of both APIs.
#[derive(Debug, Clone)]
pub(crate) enum Schema {
    /// It is known.
    Known(Executable),
    /// An API does not show its schema, so nobody may see that of both.
    Hidden,
    /// It is not known, for this reason.
    Unknown(String),
}

impl Schema {
    /// Makes the schema of both from what each says. `None` stands for an API that has not been
    /// asked yet.
    pub(crate) fn of(texts: Both<Option<&SchemaText>>) -> Self {
        let said = texts.each().map(|(api, text)| (api, *text));
        if said.iter().any(|(_, text)| matches!(text, Some(SchemaText::Hidden))) {
            return Self::Hidden;
        }
        let missing = |(api, text): (Api, Option<&SchemaText>)| {
            let why = match text {
                None => "has not been reached yet",
                Some(SchemaText::Absent) => "has no GraphQL",
                Some(_) => return None,
            };
            Some(format!("{} {why}", api.title()))
        };
        let why: Vec<String> = said.into_iter().filter_map(missing).collect();
        let (Some(SchemaText::Shown(commands)), Some(SchemaText::Shown(queries))) =
            (texts.command, texts.query)
        else {
            return Self::Unknown(why.join(", "));
        };
        match together(commands, queries) {
            Ok(schema) => Self::Known(schema),
            Err(conflict) => Self::Unknown(conflict.to_string()),
        }
    }

    /// Why it is not known.
    pub(crate) fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::Known(_) | Self::Hidden => None,
        }
    }
}

fn together(commands: &str, queries: &str) -> Result<Executable, Conflict> {
    executable(&merged(commands, queries)?).map_err(|error| Conflict::Together(error.0))
}

fn executable(merged: &Merged) -> Result<Executable, SchemaError> {
    let (types, roots) = (&merged.types, &merged.roots);
    let (mutation, subscription) = (roots.mutation.as_deref(), roots.subscription.as_deref());
    let mut schema = Executable::build(&roots.query, mutation, subscription)
        .limit_complexity(MAX_FIELDS)
        .limit_depth(MAX_DEPTH)
        .limit_recursive_depth(MAX_BRACKETS)
        .limit_directives(MAX_DIRECTIVES);
    for (name, definition) in types {
        schema = match &definition.kind {
            TypeKind::Object(object) if subscription == Some(name.as_str()) => {
                schema.register(streams(definition, object))
            }
            _ => schema.register(made(definition)),
        };
    }
    schema.finish()
}

/// Adds the description of the definition, if there is one.
macro_rules! described {
    ($made:expr, $definition:expr) => {{
        let made = $made;
        match &$definition.description {
            Some(text) => made.description(text.node.as_str()),
            None => made,
        }
    }};
}

/// Adds the description of the definition and that it is deprecated, if it is.
macro_rules! annotated {
    ($made:expr, $definition:expr) => {{
        let made = described!($made, $definition);
        match deprecation(&$definition.directives) {
            Some(reason) => made.deprecation(Some(reason)),
            None => made,
        }
    }};
}

fn made(definition: &TypeDefinition) -> Made {
    let name = definition.name.node.as_str();
    match &definition.kind {
        TypeKind::Scalar => described!(Scalar::new(name), definition).into(),
        TypeKind::Object(object) => object_of(definition, object).into(),
        TypeKind::Interface(interface) => interface_of(definition, interface).into(),
        TypeKind::Union(union) => union_of(definition, union).into(),
        TypeKind::Enum(values) => enum_of(definition, values).into(),
        TypeKind::InputObject(input) => input_of(definition, input).into(),
    }
}

fn object_of(definition: &TypeDefinition, object: &ObjectType) -> Object {
    let mut made = described!(Object::new(definition.name.node.as_str()), definition);
    for interface in &object.implements {
        made = made.implement(interface.node.as_str());
    }
    for field in &object.fields {
        made = made.field(field_of(&field.node));
    }
    made
}

fn field_of(definition: &FieldDefinition) -> Field {
    // Nobody asks for it: operations go to the APIs.
    let resolve = Field::new(definition.name.node.as_str(), type_of(&definition.ty.node), |_| {
        FieldFuture::from_value(None)
    });
    let mut made = annotated!(resolve, definition);
    for argument in &definition.arguments {
        made = made.argument(value_of(&argument.node));
    }
    made
}

/// The root of subscriptions.
fn streams(definition: &TypeDefinition, object: &ObjectType) -> Subscription {
    let mut made = described!(Subscription::new(definition.name.node.as_str()), definition);
    for field in &object.fields {
        let definition = &field.node;
        let (name, of) = (definition.name.node.as_str(), type_of(&definition.ty.node));
        let resolve = SubscriptionField::new(name, of, |_| {
            SubscriptionFieldFuture::new(async {
                async_graphql::Result::Ok(stream::empty::<async_graphql::Result<Value>>())
            })
        });
        let mut field = annotated!(resolve, definition);
        for argument in &definition.arguments {
            field = field.argument(value_of(&argument.node));
        }
        made = made.field(field);
    }
    made
}

fn interface_of(definition: &TypeDefinition, interface: &InterfaceType) -> Interface {
    let mut made = described!(Interface::new(definition.name.node.as_str()), definition);
    for implemented in &interface.implements {
        made = made.implement(implemented.node.as_str());
    }
    for field in &interface.fields {
        let definition = &field.node;
        let (name, of) = (definition.name.node.as_str(), type_of(&definition.ty.node));
        let mut field = annotated!(InterfaceField::new(name, of), definition);
        for argument in &definition.arguments {
            field = field.argument(value_of(&argument.node));
        }
        made = made.field(field);
    }
    made
}

fn union_of(definition: &TypeDefinition, union: &UnionType) -> Union {
    let made = described!(Union::new(definition.name.node.as_str()), definition);
    union.members.iter().fold(made, |made, member| made.possible_type(member.node.as_str()))
}

fn enum_of(definition: &TypeDefinition, values: &EnumType) -> Enum {
    let made = described!(Enum::new(definition.name.node.as_str()), definition);
    values.values.iter().fold(made, |made, value| {
        made.item(annotated!(EnumItem::new(value.node.value.node.as_str()), value.node))
    })
}

fn input_of(definition: &TypeDefinition, input: &InputObjectType) -> InputObject {
    let made = described!(InputObject::new(definition.name.node.as_str()), definition);
    let is_one_of =
        definition.directives.iter().any(|directive| directive.node.name.node == "oneOf");
    let made = if is_one_of { made.oneof() } else { made };
    input.fields.iter().fold(made, |made, field| made.field(value_of(&field.node)))
}

fn value_of(definition: &InputValueDefinition) -> InputValue {
    let value = InputValue::new(definition.name.node.as_str(), type_of(&definition.ty.node));
    let made = annotated!(value, definition);
    match &definition.default_value {
        Some(default) => made.default_value(default.node.clone()),
        None => made,
    }
}

fn type_of(written: &Type) -> TypeRef {
    let base = match &written.base {
        BaseType::Named(name) => TypeRef::named(name.as_str()),
        BaseType::List(inner) => TypeRef::List(Box::new(type_of(inner))),
    };
    if written.nullable { base } else { TypeRef::NonNull(Box::new(base)) }
}

/// The reason of a deprecation.
fn deprecation(directives: &[Positioned<ConstDirective>]) -> Option<&str> {
    let is_it = |directive: &&Positioned<ConstDirective>| directive.node.name.node == "deprecated";
    let found = directives.iter().find(is_it)?;
    match found.node.get_argument("reason").map(|reason| &reason.node) {
        Some(Value::String(reason)) => Some(reason),
        _ => Some(NO_REASON),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use serde_json::{Value as Json, json};

    use super::*;

    const COMMANDS: &str = r#"
        type Query { viewer: Int }
        type Mutation { place(input: Place!): Order }
        input Place { n: Int! = 3, note: String @deprecated(reason: "old") }
        type Order @key(fields: "id", resolvable: false) { id: ID! }
    "#;
    const QUERIES: &str = r#"
        type Query {
            "One order."
            order(id: ID!): Order
            orders: [Order!]! @deprecated
            node(id: ID!): Node
        }
        type Subscription { changed(ids: [ID!]): Order! }
        interface Node { id: ID! }
        type Order implements Node @key(fields: "id") { id: ID! status: Status! of: Thing }
        enum Status { OPEN DONE @deprecated(reason: "gone") }
        union Thing = Order
    "#;

    async fn ask(question: &str) -> Json {
        let [commands, queries] =
            [COMMANDS, QUERIES].map(|text| SchemaText::Shown(text.to_owned()));
        let schema = Schema::of(Both { command: Some(&commands), query: Some(&queries) });
        let Schema::Known(schema) = schema else { panic!("{schema:?}") };
        let answer = schema.execute(question).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        answer.data.into_json().unwrap()
    }

    #[tokio::test]
    async fn the_schema_of_both_answers_questions_for_itself() {
        let roots = "{ __schema { queryType { name } mutationType { name } \
            subscriptionType { name } } }";
        assert_eq!(
            ask(roots).await["__schema"],
            json!({"queryType": {"name": "Query"}, "mutationType": {"name": "Mutation"},
                "subscriptionType": {"name": "Subscription"}})
        );
        let order = "{ __type(name: \"Order\") { interfaces { name } fields { name \
            type { kind ofType { name } } } } }";
        assert_eq!(
            ask(order).await["__type"],
            json!({"interfaces": [{"name": "Node"}], "fields": [
                {"name": "id", "type": {"kind": "NON_NULL", "ofType": {"name": "ID"}}},
                {"name": "status", "type": {"kind": "NON_NULL", "ofType": {"name": "Status"}}},
                {"name": "of", "type": {"kind": "UNION", "ofType": null}},
            ]})
        );
    }

    #[tokio::test]
    async fn descriptions_deprecations_and_defaults_are_those_of_the_apis() {
        let query = "{ __type(name: \"Query\") { fields(includeDeprecated: true) { name \
            description deprecationReason args { name } } } }";
        let fields = ask(query).await["__type"]["fields"].clone();
        assert_eq!(fields[0]["description"], "One order.");
        assert_eq!(fields[0]["args"], json!([{"name": "id"}]));
        assert_eq!(fields[1]["deprecationReason"], NO_REASON);
        let place = "{ __type(name: \"Place\") { inputFields { name defaultValue } } }";
        let place = ask(place).await["__type"]["inputFields"].clone();
        assert_eq!(place[0], json!({"name": "n", "defaultValue": "3"}));
    }

    #[test]
    fn why_a_schema_is_not_known_is_said() {
        let (shown, hidden, absent) =
            (SchemaText::Shown(COMMANDS.to_owned()), SchemaText::Hidden, SchemaText::Absent);
        let of = |command, query| Schema::of(Both { command, query });
        let neither = of(None, Some(&absent));
        let why = "the command API has not been reached yet, the query API has no GraphQL";
        assert_eq!(neither.unknown(), Some(why));
        assert!(matches!(of(None, Some(&hidden)), Schema::Hidden));
        let conflict = of(Some(&shown), Some(&SchemaText::Shown("type Query".to_owned())));
        assert!(conflict.unknown().is_some(), "{conflict:?}");
    }
}
