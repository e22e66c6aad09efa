//! The words of a schema: doc comments, as far as they help a reader who does not know the program.

use schemars::Schema;
use serde_json::Value;

const DESCRIPTION: &str = "description";
const FORMAT: &str = "format";
const MAXIMUM: &str = "maximum";

/// Rewrites the description of a schema and of each schema in it.
///
/// Only the first paragraph of a doc comment is about the value. The others are about the program.
pub(super) fn rewrite(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut(DESCRIPTION) {
        *text = first_paragraph(text).replace("`None`", "`null`");
    }
    // These formats are not in any registry, and strict validators refuse unknown ones. Shorter
    // numbers have their maximum already. Many readers cannot count exactly to that of longer ones,
    // so no schema promises it.
    let format = schema.get(FORMAT).and_then(Value::as_str);
    if format == Some("uint32") && schema.get(MAXIMUM).is_none() {
        schema.insert(MAXIMUM.to_owned(), u32::MAX.into());
    }
    let format = schema.get(FORMAT).and_then(Value::as_str);
    if format.is_some_and(|format| format.starts_with("uint")) {
        schema.remove(FORMAT);
    }
}

/// The description of an event: the doc comment of its variant, and what that of its payload adds.
pub(super) fn of_event(event_type: &str, variant: Option<&str>, payload: Option<&str>) -> String {
    let variant = variant.map(|text| capital(without_name(text, event_type)));
    let payload = payload.and_then(|text| match text.strip_prefix("The payload of ") {
        Some(rest) => rest.split_once(". ").map(|(_, more)| more.to_owned()),
        None => Some(capital(without_name(text, event_type))),
    });
    let payload = payload.filter(|text| variant.as_deref() != Some(text));
    let parts: Vec<String> = variant.into_iter().chain(payload).collect();
    parts.join(" ")
}

fn first_paragraph(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text after `` `order.placed` v1: `` or `` `order.placed`: ``.
fn without_name<'t>(text: &'t str, event_type: &str) -> &'t str {
    let named = text.strip_prefix('`').and_then(|text| text.strip_prefix(event_type));
    let rest = named.and_then(|text| text.strip_prefix('`'));
    rest.and_then(|rest| rest.split_once(": ")).map_or(text, |(_, rest)| rest)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_described_by_its_variant_and_by_what_its_payload_adds() {
        let variant = Some("`letter.sent` v2: the letter left.");
        let of = |payload| of_event("letter.sent", variant, payload);
        assert_eq!(of(Some("The payload of `letter.sent` v2.")), "The letter left.");
        assert_eq!(
            of(Some("The payload of `letter.sent` v2. It is final.")),
            "The letter left. It is final."
        );
        assert_eq!(of(Some("`letter.sent`: the letter left.")), "The letter left.");
        assert_eq!(of_event("letter.sent", None, Some("It left.")), "It left.");
    }

    #[test]
    fn only_the_first_paragraph_describes_the_value() {
        let mut schema = schemars::json_schema!({
            "description": "The pages, or\n`None`.\n\nReading does not check it.",
        });
        rewrite(&mut schema);
        let value: Value = schema.into();
        assert_eq!(value, serde_json::json!({"description": "The pages, or `null`."}));
    }

    #[test]
    fn a_number_of_32_bits_keeps_its_width_and_no_format_that_nobody_knows() {
        let rewritten = |mut schema: Schema| {
            rewrite(&mut schema);
            Value::from(schema)
        };
        let wide = serde_json::json!({"minimum": 0, "maximum": 4_294_967_295_u32});
        let schema = schemars::json_schema!({"format": "uint32", "minimum": 0});
        assert_eq!(rewritten(schema), wide);
        let narrow = schemars::json_schema!({"format": "uint32", "maximum": 9});
        assert_eq!(rewritten(narrow), serde_json::json!({"maximum": 9}));
        let long = schemars::json_schema!({"format": "uint64", "minimum": 0});
        assert_eq!(rewritten(long), serde_json::json!({"minimum": 0}));
    }
}
