//! What the front knows of both APIs: their operations, their documents and their schema. It is
//! replaced as a whole when an API describes itself in another way than before.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use serde_json::Value;
use service_kit::docs;

use crate::api::{Api, Both};
use crate::conflict::Conflict;
use crate::document::{self, DOCUMENTS};
use crate::schema::{Schema, SchemaText};
use crate::table::Table;

/// How an API describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// Its OpenAPI documents, in the order of [`DOCUMENTS`].
    pub(crate) documents: Vec<Bytes>,
    /// Its GraphQL schema.
    pub(crate) schema: SchemaText,
}

/// What is known of both APIs.
#[derive(Debug)]
pub(crate) struct Known {
    /// Which API has which operation.
    pub(crate) table: Table,
    /// The documents of both, by their path.
    pub(crate) documents: BTreeMap<&'static str, Bytes>,
    /// The page that shows the documents.
    pub(crate) page: Router,
    /// The GraphQL schema of both.
    pub(crate) schema: Schema,
    /// The APIs whose operations are not known.
    pub(crate) missing: Vec<Api>,
}

impl Known {
    /// What is known of how they describe themselves. `None` stands for an API that has not been
    /// reached yet.
    pub(crate) fn of(described: &Both<Option<Description>>) -> Result<Self, Conflict> {
        let parsed = Both {
            command: parse(Api::Command, described.command.as_ref())?,
            query: parse(Api::Query, described.query.as_ref())?,
        };
        let operations = parsed
            .each()
            .into_iter()
            .flat_map(|(api, documents)| documents.iter().map(move |document| (api, document)));
        let table = Table::of(&operations.collect::<Vec<_>>())?;
        let mut documents = BTreeMap::new();
        for (at, (_, path)) in DOCUMENTS.into_iter().enumerate() {
            if let Some(document) = both(parsed.command.get(at), parsed.query.get(at))? {
                documents.insert(path, Bytes::from(document.to_string()));
            }
        }
        let page = docs::routes_of(DOCUMENTS.into_iter().take(documents.len()));
        let texts = Both {
            command: described.command.as_ref().map(|description| &description.schema),
            query: described.query.as_ref().map(|description| &description.schema),
        };
        let missing = described.each().into_iter().filter(|(_, description)| description.is_none());
        let missing = missing.map(|(api, _)| api).collect();
        Ok(Self { table, documents, page, schema: Schema::of(texts), missing })
    }

    /// Nothing is known yet.
    pub(crate) fn nothing() -> Self {
        Self {
            table: Table::default(),
            documents: BTreeMap::new(),
            page: Router::new(),
            schema: Schema::of(Both::default()),
            missing: Api::ALL.to_vec(),
        }
    }
}

fn parse(api: Api, description: Option<&Description>) -> Result<Vec<Value>, Conflict> {
    let documents = description.map(|description| &*description.documents).unwrap_or_default();
    let parsed = documents.iter().map(|document| {
        serde_json::from_slice(document).map_err(|error| Conflict::Unreadable(api.title(), error))
    });
    parsed.collect()
}

/// The document of both, or that of the only one that has it.
fn both(command: Option<&Value>, query: Option<&Value>) -> Result<Option<Value>, Conflict> {
    match (command, query) {
        (Some(command), Some(query)) => document::merged(command, query).map(Some),
        (one, other) => Ok(one.or(other).cloned()),
    }
}
