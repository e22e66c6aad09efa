//! Finds personal fields in the text of a JSON payload and replaces them in place. All other bytes
//! stay unchanged.

use std::ops::Range;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::append::MAX_JSON_DEPTH;

const SUBJECT: &str = "$subject";
const PERSONAL: &str = "$personal";
const ENCRYPTED: &str = "$sealed";

/// A personal field of a payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The byte range of the field's object in the text.
    span: Range<usize>,
    /// The JSON pointer of the field.
    pub(crate) path: String,
    /// The subject: the person whose data it is.
    pub(crate) subject: Uuid,
    /// The content of the field.
    pub(crate) content: Content<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// A readable value, as JSON.
    Plain(&'a str),
    /// No value, because the subject is erased.
    Erased,
    /// An encrypted value.
    Encrypted(&'a str),
}

/// The error when a reserved name is in an object that is not a personal field, or the nesting is
/// too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "$subject, $personal and $sealed are reserved for personal fields, but one is in another \
        place"
)]
pub(crate) struct Malformed;

/// Whether the payload may have a personal field. This scans its bytes without parsing.
pub(crate) fn may_have_fields(json: &str) -> bool {
    json.contains("\"$") || json.contains("\\u0024")
}

/// Returns the personal fields of a payload, in order of the text.
pub(crate) fn fields(json: &str) -> Result<Vec<Field<'_>>, Malformed> {
    if !may_have_fields(json) {
        return Ok(Vec::new());
    }
    let mut scanner = Scanner { json, at: 0, path: String::new(), depth: 0, found: Vec::new() };
    scanner.value()?;
    Ok(scanner.found)
}

/// Returns the payload with the content of these fields replaced. The fields are in order of the
/// text, each with its new JSON.
pub(crate) fn replaced(
    json: &str,
    edits: impl IntoIterator<Item = (Range<usize>, String)>,
) -> Result<Box<RawValue>, serde_json::Error> {
    let mut text = String::with_capacity(json.len() * 2);
    let mut from = 0;
    for (span, new) in edits {
        text.push_str(&json[from..span.start]);
        text.push_str(&new);
        from = span.end;
    }
    text.push_str(&json[from..]);
    RawValue::from_string(text)
}

impl Field<'_> {
    /// Returns the edit that replaces the value by its encrypted form.
    pub(crate) fn encrypted(&self, encrypted: &str) -> (Range<usize>, String) {
        (
            self.span.clone(),
            format!(r#"{{"{SUBJECT}":"{}","{ENCRYPTED}":"{encrypted}"}}"#, self.subject),
        )
    }

    /// Returns the edit that replaces the content by its value, or by `null` if it is erased.
    pub(crate) fn revealed(&self, value: Option<&str>) -> (Range<usize>, String) {
        let value = value.unwrap_or("null");
        (self.span.clone(), format!(r#"{{"{SUBJECT}":"{}","{PERSONAL}":{value}}}"#, self.subject))
    }
}

/// A scanner over text that is known to be JSON.
struct Scanner<'a> {
    json: &'a str,
    at: usize,
    path: String,
    depth: usize,
    found: Vec<Field<'a>>,
}

/// The reserved names found in one object.
#[derive(Default)]
struct Reserved<'a> {
    subject: Option<&'a str>,
    personal: Option<&'a str>,
    encrypted: Option<&'a str>,
    repeated: bool,
    others: bool,
}

impl<'a> Scanner<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.json.as_bytes().get(self.at..)?;
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    fn value(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            _ => self.skip_value().map(drop),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.depth += 1;
        if self.depth > MAX_JSON_DEPTH {
            return Err(Malformed);
        }
        inner(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        let length = self.path.len();
        for index in 0_usize.. {
            if self.peek() == Some(b',') {
                self.at += 1;
            }
            if self.peek() == Some(b']') {
                break;
            }
            self.path.push('/');
            self.path.push_str(&index.to_string());
            self.value()?;
            self.path.truncate(length);
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.at += 1;
        let mut reserved = Reserved::default();
        loop {
            if self.peek() == Some(b',') {
                self.at += 1;
            }
            if self.peek() == Some(b'}') {
                self.at += 1;
                break;
            }
            let quoted = self.skip_value()?;
            let name: std::borrow::Cow<'_, str> = if quoted.contains('\\') {
                serde_json::from_str::<String>(quoted).map_err(|_| Malformed)?.into()
            } else {
                quoted.trim_matches('"').into()
            };
            if self.peek() != Some(b':') {
                return Err(Malformed);
            }
            self.at += 1;
            self.member(&name, &mut reserved)?;
        }
        let span = start..self.at;
        self.found.extend(reserved.field(span, &self.path)?);
        Ok(())
    }

    fn member(&mut self, name: &str, reserved: &mut Reserved<'a>) -> Result<(), Malformed> {
        let place = match name {
            SUBJECT => &mut reserved.subject,
            PERSONAL => &mut reserved.personal,
            ENCRYPTED => &mut reserved.encrypted,
            _ => {
                reserved.others = true;
                let length = self.path.len();
                self.path.push('/');
                self.path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                self.value()?;
                self.path.truncate(length);
                return Ok(());
            }
        };
        let value = self.skip_value()?;
        reserved.repeated |= place.replace(value).is_some();
        Ok(())
    }

    /// Skips one value without reading it and returns its text.
    fn skip_value(&mut self) -> Result<&'a str, Malformed> {
        self.peek();
        let start = self.at;
        let bytes = self.json.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => self.skip_string(),
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' | b':' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                byte if depth == 0 && byte.is_ascii_whitespace() => break,
                _ => {}
            }
            self.at += 1;
            if depth == 0 && matches!(byte, b'"' | b'}' | b']') {
                break;
            }
        }
        self.json.get(start..self.at).filter(|text| !text.is_empty()).ok_or(Malformed)
    }

    /// Skips from the opening quote to the closing one.
    fn skip_string(&mut self) {
        let bytes = self.json.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => return,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }
}

impl<'a> Reserved<'a> {
    /// Returns the field that the object is, if it is one.
    fn field(self, span: Range<usize>, path: &str) -> Result<Option<Field<'a>>, Malformed> {
        let (subject, content) = match (self.subject, self.personal, self.encrypted) {
            (None, None, None) => return Ok(None),
            _ if self.others || self.repeated => return Err(Malformed),
            (Some(subject), Some("null"), None) => (subject, Content::Erased),
            (Some(subject), Some(value), None) => (subject, Content::Plain(value)),
            (Some(subject), None, Some(encrypted)) => {
                let text = encrypted
                    .strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'))
                    .ok_or(Malformed)?;
                (subject, Content::Encrypted(text))
            }
            _ => return Err(Malformed),
        };
        let subject = serde_json::from_str(subject).map_err(|_| Malformed)?;
        Ok(Some(Field { span, path: path.to_owned(), subject, content }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const ADA: Uuid = Uuid::from_u128(7);

    fn found(json: &Value) -> Vec<(String, String)> {
        let text = json.to_string();
        let fields = fields(&text).unwrap();
        let content = |field: &Field<'_>| match field.content {
            Content::Plain(value) => format!("plain {value}"),
            Content::Erased => "erased".to_owned(),
            Content::Encrypted(text) => format!("encrypted {text}"),
        };
        fields.iter().map(|field| (field.path.clone(), content(field))).collect()
    }

    #[test]
    fn fields_are_found_wherever_they_stand() {
        let payload = json!({
            "a": {"$subject": ADA, "$personal": "x\"}{,"},
            "list": [1, {"deep/er": {"$personal": {"b": [1, null]}, "$subject": ADA}}],
            "gone": {"$subject": ADA, "$personal": null},
            "s": {"$subject": ADA, "$sealed": "AQ"},
            "text": "{\"$subject\": 1}",
        });
        let expected = [
            ("/a", "plain \"x\\\"}{,\""),
            ("/gone", "erased"),
            ("/list/1/deep~1er", "plain {\"b\":[1,null]}"),
            ("/s", "encrypted AQ"),
        ];
        assert_eq!(
            found(&payload),
            expected.map(|(path, content)| (path.to_owned(), content.to_owned()))
        );
        assert_eq!(
            found(&json!({"$subject": ADA, "$personal": 1})),
            [(String::new(), "plain 1".to_owned())]
        );
    }

    #[test]
    fn a_name_that_is_spelled_with_an_escape_is_found_too() {
        let text = r#"{ "a" : {
            "\u0024subject" : "00000000-0000-0000-0000-000000000007" , "$\u0070ersonal" : 1.50
        } }"#;
        let found = fields(text).unwrap();
        assert_eq!((found[0].subject, &found[0].content), (ADA, &Content::Plain("1.50")));
        let encrypted = replaced(text, [found[0].encrypted("AQ")]).unwrap();
        assert_eq!(
            encrypted.get(),
            r#"{ "a" : {"$subject":"00000000-0000-0000-0000-000000000007","$sealed":"AQ"} }"#
        );
    }

    #[test]
    fn a_reserved_name_in_another_place_is_refused_rather_than_left_readable() {
        for payload in [
            json!({"a": {"$subject": ADA, "$personal": 1, "more": 2}}),
            json!({"a": {"$personal": 1}}),
            json!({"a": {"$subject": ADA}}),
            json!({"a": {"$subject": "nobody", "$personal": 1}}),
            json!({"a": {"$subject": ADA, "$personal": 1, "$sealed": "AQ"}}),
            json!({"a": {"$subject": ADA, "$sealed": 5}}),
        ] {
            assert_eq!(fields(&payload.to_string()), Err(Malformed), "{payload}");
        }
        let twice = format!(r#"{{"$subject":"{ADA}","$personal":1,"$personal":2}}"#);
        assert_eq!(fields(&twice), Err(Malformed));
        let deep = format!("{}{{\"$\":1}}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(fields(&deep), Err(Malformed));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f32>().prop_map(|x| json!(x)),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z/~\"\\\\]{0,4}", inner.clone(), 0..5)
                    .prop_map(|map| json!(map)),
                inner.prop_map(|value| json!({"$subject": ADA, "$personal": value})),
            ]
        })
    }

    /// Collects what a walk over the parsed value finds: path and value, without entering personal
    /// fields.
    fn expected(value: &Value, path: &str, into: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(map) if map.contains_key("$subject") => {
                into.push((path.to_owned(), map["$personal"].clone()));
            }
            Value::Object(map) => {
                for (name, value) in map {
                    expected(
                        value,
                        &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")),
                        into,
                    );
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    expected(value, &format!("{path}/{index}"), into);
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn a_parser_sees_the_same_fields_and_replacing_them_changes_nothing_else(
            value in any_json(),
            pretty in any::<bool>(),
        ) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            // Compare the written text: parsing a float can change its last digit.
            let value: Value = serde_json::from_str(&text).unwrap();
            let found = fields(&text).unwrap();
            let mut wanted = Vec::new();
            expected(&value, "", &mut wanted);
            let seen: Vec<(String, Value)> = found.iter().map(|field| (field.path.clone(),
                match field.content {
                Content::Plain(json) => serde_json::from_str(json).unwrap(),
                Content::Erased | Content::Encrypted(_) => Value::Null,
            })).collect();
            prop_assert_eq!(seen, wanted);
            let same = replaced(&text, found.iter().map(|field| match field.content {
                Content::Plain(json) => field.revealed(Some(json)),
                Content::Erased | Content::Encrypted(_) => field.revealed(None),
            })).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(same.get()).unwrap(), value);
        }
    }
}
