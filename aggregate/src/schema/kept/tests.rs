//! Tests that changes which break readers are found, and others are not.

use serde_json::json;

use super::*;

/// The schema that readers know.
fn published() -> Value {
    json!({
        "title": "letter.sent v1",
        "description": "The letter left.",
        "type": "object",
        "properties": {
            "letter_id": {"description": "The id.", "type": "string", "format": "uuid"},
            "note": {"type": ["string", "null"]},
            "class": {"$ref": "#/$defs/Class"},
            "sender": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]},
            "pages": {"type": "array", "items": {"$ref": "#/$defs/Page"}},
            "weight": {"type": "integer", "minimum": 0},
            "way": {"oneOf": [
                {"type": "object", "properties": {"ship": {"type": "string"}},
                    "required": ["ship"], "additionalProperties": false},
                {"type": "object", "properties": {"train": {"type": "string"}},
                    "required": ["train"], "additionalProperties": false},
            ]},
        },
        "required": ["letter_id", "class", "pages", "weight"],
        "$defs": {
            "Class": {"oneOf": [
                {"description": "First.", "type": "string", "const": "first"},
                {"description": "Second.", "type": "string", "const": "second"},
            ]},
            "Person": {"type": "object", "properties": {"name": {"type": "string"}},
                "required": ["name"]},
            "Page": {"type": "object", "properties": {"words": {"type": "integer"}},
                "required": ["words"]},
        },
    })
}

/// The verdict on the schema with a part replaced. `null` removes it.
fn with(pointer: &str, new: Value) -> Verdict {
    let mut schema = published();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match schema.pointer_mut(parent).unwrap() {
        Value::Object(parts) if new.is_null() => drop(parts.remove(name).unwrap()),
        Value::Object(parts) => drop(parts.insert(name.to_owned(), new)),
        Value::Array(parts) if new.is_null() => drop(parts.remove(name.parse().unwrap())),
        Value::Array(parts) => parts.push(new),
        other => panic!("{other}"),
    }
    verdict(&EventSchema { event_type: "letter.sent", version: 1, schema }, Some(&published()))
}

#[test]
fn a_change_that_breaks_readers_is_found_and_names_its_field() {
    let text = || json!({"type": "string"});
    let page = "/$defs/Page/properties/words";
    let planted = [
        (page, Value::Null, "pages[].words: it is removed or renamed"),
        ("/properties/note", Value::Null, "note: it is removed or renamed"),
        (page, text(), "pages[].words: its type was integer and is string"),
        ("/properties/note/type", json!("string"), "note: its type was null or string and is"),
        ("/properties/weight", text(), "weight: its type was integer and is string"),
        ("/properties/weight/minimum", json!(1), "weight: its `minimum` was 0 and is 1"),
        ("/properties/weight/maximum", json!(9), "weight: its `maximum` was absent and is 9"),
        ("/properties/letter_id/format", Value::Null, "letter_id: its `format` was \"uuid\""),
        ("/properties/pages/items", text(), "pages[]: its type was object and is string"),
        ("/required/-", json!("note"), "note: it is required now, and stored events may lack"),
        ("/required/3", Value::Null, "weight: it may be absent now"),
        ("/$defs/Person/required", Value::Null, "sender.name: it may be absent now"),
        (
            "/$defs/Class/oneOf/-",
            json!({"type": "string", "const": "third"}),
            "class: it may have the new value \"third\", unknown to readers",
        ),
        ("/$defs/Class/oneOf/0", Value::Null, "class: its value \"first\" is removed"),
        ("/$defs/Class", text(), "class: it may have any value now"),
        ("/properties/weight/enum", json!([1, 2]), "weight: it may have only listed values now"),
        ("/properties/sender", json!({"$ref": "#/$defs/Person"}), "sender: its type was null or"),
        (
            "/properties/way/oneOf/-",
            json!({"type": "object", "required": ["plane"]}),
            "way: it may be the new kind with plane, unknown to readers",
        ),
        ("/properties/way/oneOf/1", Value::Null, "way: its kind with train is removed"),
        (
            "/properties/way/oneOf/0/properties/ship",
            json!({"type": "integer"}),
            "way.ship: its type was string and is integer",
        ),
        ("/additionalProperties", json!(false), ".: its `additionalProperties` was absent and"),
        ("/type", json!("array"), ".: its type was object and is array"),
    ];
    for (pointer, new, expected) in planted {
        let Verdict::Breaks(said) = with(pointer, new) else { panic!("{pointer}: not found") };
        for part in ["letter.sent v1", "field ", expected, "version 2 with an upcaster"] {
            assert!(said.contains(part), "{pointer}: {part:?} is not in {said}");
        }
    }
    let mut schema = published();
    schema["properties"]["seal"] = text();
    schema["required"].as_array_mut().unwrap().push(json!("seal"));
    let schema = EventSchema { event_type: "letter.sent", version: 1, schema };
    let Verdict::Breaks(said) = verdict(&schema, Some(&published())) else { panic!("not found") };
    assert!(said.contains("seal: it is new and required, and stored events lack it"), "{said}");
}

#[test]
fn a_change_that_breaks_no_reader_is_to_be_accepted() {
    for (pointer, new, expected) in [
        ("/properties/seal", json!({"type": "string"}), "seal: it is new and may be absent"),
        ("/$defs/Page/properties/ink", json!({}), "pages[].ink: it is new and may be absent"),
        ("/description", json!("It left."), "its description"),
        ("/$defs/Class/oneOf/0/description", json!("Fast."), "its description"),
        ("/properties/class", json!({"enum": ["second", "first"], "type": "string"}), "its des"),
    ] {
        let Verdict::New(said) = with(pointer, new) else { panic!("{pointer}: refused") };
        assert!(said.contains(expected), "{pointer}: {said}");
    }
    let schema = EventSchema { event_type: "letter.sent", version: 1, schema: published() };
    assert_eq!(verdict(&schema, Some(&published())), Verdict::Same);
    assert!(matches!(verdict(&schema, None), Verdict::New(_)));
}

#[test]
fn a_kept_schema_is_missed_and_one_of_an_unknown_event_is_found() {
    let manifest = tempdir();
    let schema = EventSchema { event_type: "letter.sent", version: 2, schema: published() };
    let (written, folder) = (std::slice::from_ref(&schema), manifest.join(FOLDER));
    let past: &'static [Past] =
        &[(("letter.sent", 1), &[("letter.sent", 2)], |data| Ok(vec![("letter.sent", data)]))];
    let said = |past: &'static [Past]| {
        let check = || check(manifest.to_str().unwrap(), written, past);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        failed.err().map(|said| *said.downcast::<String>().unwrap())
    };
    let missing = said(&[]).unwrap();
    assert!(missing.contains("letter.sent v2 is new"), "{missing}");
    assert!(missing.contains("SCHEMAS=accept cargo test -p "), "{missing}");
    write(&folder, &schema);
    assert_eq!(said(&[]), None);
    let former = said(past).unwrap();
    assert!(former.contains("letter.sent v1 is a former version"), "{former}");
    write(&folder, &EventSchema { version: 1, ..schema.clone() });
    assert_eq!(said(past), None);
    let unknown = said(&[]).unwrap();
    assert!(unknown.contains("letter.sent.v1.json is of an event that nobody"), "{unknown}");
    fs::remove_dir_all(manifest).unwrap();
}

/// A folder of its own.
fn tempdir() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("kept-schemas-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}
