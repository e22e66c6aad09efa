//! The shape that a program reads from a payload: every known field and its kind.
//!
//! A recording deserializer reads the payload and notes each field that is asked for, so optional
//! fields are found too.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::{Error, Map, Value};

/// The shape of `P`, as far as this payload shows it: one line per field, `path: kind`.
pub(super) fn of<P: DeserializeOwned>(payload: &Value) -> Vec<String> {
    let notes = RefCell::new(BTreeSet::new());
    P::deserialize(Noting { value: payload, path: String::new(), notes: &notes })
        .map(drop)
        .unwrap();
    notes.into_inner().into_iter().collect()
}

/// The names of the fields of `P`, which must be an object.
pub(super) fn fields<P: DeserializeOwned>() -> Vec<String> {
    let (notes, nothing) = (RefCell::new(BTreeSet::new()), Value::Object(Map::new()));
    // This usually fails with a missing field. The fields that `P` asks for are noted before that.
    let _missing = P::deserialize(Noting { value: &nothing, path: String::new(), notes: &notes });
    let notes = notes.into_inner();
    let object = notes.iter().find_map(|line| line.strip_prefix(".: {")?.strip_suffix('}'));
    object.into_iter().flat_map(|names| names.split(", ")).map(str::to_owned).collect()
}

struct Noting<'v> {
    value: &'v Value,
    path: String,
    notes: &'v RefCell<BTreeSet<String>>,
}

impl<'v> Noting<'v> {
    fn note(&self, kind: &str) {
        let path = if self.path.is_empty() { "." } else { &self.path };
        self.notes.borrow_mut().insert(format!("{path}: {kind}"));
    }

    fn inside(&self, value: &'v Value, name: &str) -> Self {
        Self { value, path: format!("{}{name}", self.path), notes: self.notes }
    }
}

macro_rules! noted {
    ($($method:ident $kind:literal)*) => {
        $(fn $method<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
            self.note($kind);
            self.value.$method(visitor)
        })*
    };
}

impl<'v> Deserializer<'v> for Noting<'v> {
    type Error = Error;

    noted! {
        deserialize_any "any" deserialize_bool "bool"
        deserialize_i8 "i8" deserialize_i16 "i16" deserialize_i32 "i32" deserialize_i64 "i64"
        deserialize_i128 "i128"
        deserialize_u8 "u8" deserialize_u16 "u16" deserialize_u32 "u32" deserialize_u64 "u64"
        deserialize_u128 "u128"
        deserialize_f32 "f32" deserialize_f64 "f64" deserialize_char "string"
        deserialize_str "string" deserialize_string "string" deserialize_bytes "bytes"
        deserialize_byte_buf "bytes"
        deserialize_unit "null" deserialize_identifier "identifier"
    }

    fn deserialize_ignored_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.value.deserialize_ignored_any(visitor)
    }

    fn deserialize_option<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("optional");
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'v>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'v>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note(&format!("{{{}}}", fields.join(", ")));
        self.object(visitor)
    }

    fn deserialize_map<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("map");
        self.object(visitor)
    }

    fn deserialize_seq<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("list");
        let elements = self
            .value
            .as_array()
            .ok_or_else(|| serde::de::Error::custom("a list is asked for"))?
            .iter();
        visitor.visit_seq(List { elements, of: self })
    }

    fn deserialize_tuple<V: Visitor<'v>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'v>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'v>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_enum<V: Visitor<'v>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note(&format!("one of {}", variants.join(", ")));
        self.value.deserialize_enum(name, variants, visitor)
    }
}

impl<'v> Noting<'v> {
    fn object<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        let fields: &Map<String, Value> = self
            .value
            .as_object()
            .ok_or_else(|| serde::de::Error::custom("an object is asked for"))?;
        visitor.visit_map(Object { fields: fields.iter(), value: None, of: self })
    }
}

struct Object<'v> {
    fields: serde_json::map::Iter<'v>,
    value: Option<(&'v str, &'v Value)>,
    of: Noting<'v>,
}

impl<'v> MapAccess<'v> for Object<'v> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'v>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some((name, value));
        let name: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'v>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (name, value) = self.value.take().unwrap();
        seed.deserialize(self.of.inside(value, &format!(".{name}")))
    }
}

struct List<'v> {
    elements: std::slice::Iter<'v, Value>,
    of: Noting<'v>,
}

impl<'v> SeqAccess<'v> for List<'v> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'v>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.elements
            .next()
            .map(|element| seed.deserialize(self.of.inside(element, "[]")))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Letter {
        #[serde(rename = "to")]
        _to: String,
        #[serde(rename = "pages")]
        _pages: Vec<u32>,
    }

    #[derive(Deserialize)]
    struct LetterWithStamp {
        #[serde(rename = "to")]
        _to: Option<String>,
        #[serde(rename = "pages")]
        _pages: Vec<u64>,
        #[serde(default, rename = "stamp")]
        _stamp: Option<u32>,
    }

    #[test]
    fn a_shape_tells_every_field_even_one_that_may_be_absent() {
        let payload = serde_json::json!({"to": "ada", "pages": [1, 2]});
        assert_eq!(
            super::of::<Letter>(&payload),
            [".: {to, pages}", ".pages: list", ".pages[]: u32", ".to: string"]
        );
        let later = super::of::<LetterWithStamp>(&payload);
        for line in [".: {to, pages, stamp}", ".to: optional", ".pages[]: u64"] {
            assert!(later.iter().any(|found| found == line), "{later:?}");
        }
    }
}
