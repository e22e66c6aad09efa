//! The file of golden events of one aggregate: an entry per event version ever written.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Shape;

/// What the file says about one version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    pub(super) data: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shape: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) becomes: Option<Vec<Became>>,
}

/// An event that an old payload has become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Became {
    pub(super) r#type: String,
    pub(super) version: i32,
    pub(super) data: Value,
}

/// The name of a version's entry, such as `letter.sent v1`.
pub(super) fn name_of((event_type, version): Shape) -> String {
    format!("{event_type} v{version}")
}

/// All entries of a file, by name.
#[derive(Debug, Default)]
pub(super) struct Entries(pub(super) BTreeMap<String, Golden>);

impl Entries {
    /// Reads a file. A file that does not exist has no entries.
    ///
    /// # Panics
    /// The file cannot be read, is not as described, or has two entries with one name.
    pub(super) fn read(path: &Path) -> Self {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => panic!("{}: {error}", path.display()),
        };
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// Refuses a second entry with the same name. A plain map would keep only the last one.
impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with an entry per event version")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries, M::Error> {
                let mut entries = BTreeMap::new();
                while let Some((name, golden)) = map.next_entry::<String, Golden>()? {
                    if entries.contains_key(&name) {
                        return Err(M::Error::custom(format!("two entries are named {name:?}")));
                    }
                    entries.insert(name, golden);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_entries_with_one_name_are_refused() {
        let read = |text| serde_json::from_str::<Entries>(text).map(|entries| entries.0.len());
        assert_eq!(read(r#"{"a.b v1": {"data": 1}, "a.b v2": {"data": 1}}"#).unwrap(), 2);
        let twice = read(r#"{"a.b v1": {"data": 1}, "a.b v1": {"data": 1}}"#).unwrap_err();
        assert!(twice.to_string().starts_with("two entries are named \"a.b v1\""), "{twice}");
    }
}
