//! Names the schemas of answers, so that generated clients have good names for them.
//!
//! utoipa names `Envelope<Order>` `Envelope_Order` and describes the order inline. Here it becomes
//! `OrderAnswer`, whose data is the schema `Order`. `Envelope<Vec<Order>>` becomes
//! `OrderListAnswer`.

use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::{Components, OpenApi, Ref, RefOr, Response, Schema};

use super::{SCHEMAS, operations_mut};

/// The beginning of utoipa's names of answers.
const ENVELOPE: &str = "Envelope_";
/// The beginning of the rest of the name, if the data is a list.
const LIST: &str = "Vec_";
/// Items that have no schema of their own.
const TEXT: &str = "String";
/// The field of an answer with its data.
const DATA: &str = "data";
/// The description of the data of a list.
const ITEMS: &str = "The items of the list, or of this page of it.";

/// The name of an answer instead of utoipa's name, if it is the name of an answer.
fn answer_name(name: &str) -> Option<String> {
    let data = name.strip_prefix(ENVELOPE)?;
    Some(match data.strip_prefix(LIST) {
        Some(item) => format!("{item}ListAnswer"),
        None => format!("{data}Answer"),
    })
}

/// Names all answers of a document, and gives their data a schema of its own.
pub(super) fn name_answers(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let names = components.schemas.keys().filter(|name| name.starts_with(ENVELOPE));
    for name in names.cloned().collect::<Vec<_>>() {
        name_answer(components, &name);
    }
    for (_, operation) in operations_mut(document) {
        operation.responses.responses.values_mut().for_each(point);
    }
}

/// Gives the schema of one answer its better name, and the schema of its data a name of its own.
fn name_answer(components: &mut Components, name: &str) {
    let Some(better) = answer_name(name) else { return };
    let Some(mut answer) = components.schemas.remove(name) else { return };
    let data = name.strip_prefix(ENVELOPE).unwrap_or(name);
    let item = data.strip_prefix(LIST).unwrap_or(data);
    if item != TEXT
        && let Some(described) = described(&mut answer, item != data)
    {
        let moved = std::mem::replace(described, Ref::from_schema_name(item).into());
        components.schemas.entry(item.to_owned()).or_insert(moved);
    }
    components.schemas.insert(better, answer);
}

/// The schema of an answer's data; for a list, of its items.
fn described(answer: &mut RefOr<Schema>, is_list: bool) -> Option<&mut RefOr<Schema>> {
    let RefOr::T(Schema::Object(answer)) = answer else { return None };
    let data = answer.properties.get_mut(DATA)?;
    if !is_list {
        return Some(data);
    }
    let RefOr::T(Schema::Array(list)) = data else { return None };
    list.description.get_or_insert_with(|| ITEMS.to_owned());
    let ArrayItems::RefOrSchema(item) = &mut list.items else { return None };
    Some(item.as_mut())
}

/// Points the contents of an answer to the better names.
fn point(response: &mut RefOr<Response>) {
    let RefOr::T(response) = response else { return };
    for content in response.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        match &mut content.schema {
            Some(RefOr::T(Schema::AnyOf(either))) => either.items.iter_mut().for_each(rename),
            Some(schema) => rename(schema),
            None => {}
        }
    }
}

fn rename(schema: &mut RefOr<Schema>) {
    if let RefOr::Ref(reference) = schema
        && let Some(name) = reference.ref_location.strip_prefix(SCHEMAS).and_then(answer_name)
    {
        reference.ref_location = format!("{SCHEMAS}{name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_name_of_its_data() {
        for (before, after) in [
            ("Envelope_Order", Some("OrderAnswer")),
            ("Envelope_Vec_Order", Some("OrderListAnswer")),
            ("Order", None),
        ] {
            assert_eq!(answer_name(before).as_deref(), after);
        }
    }
}
