//! The layout of the common batch. Each append has one event for one stream and at most a version
//! requirement, with or without idempotency keys.

use std::borrow::Borrow;

use sqlx::Arguments as _;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use super::{behind, expected, filled};
use crate::append::Idempotency;
use crate::append::prepared::{EventText, Prepared};
use crate::event::NewEvent;
use crate::stream::StreamName;

/// The parallel arrays, one entry per member.
#[derive(Default)]
struct Plain<'a> {
    epoch: Vec<Uuid>,
    idempotency: Vec<Option<&'a Idempotency>>,
    stream: Vec<&'a StreamName>,
    expected: Vec<i64>,
    behind: Vec<Option<Uuid>>,
    event: Vec<&'a NewEvent>,
    text: Vec<&'a EventText>,
    /// The approximate size of the call in bytes.
    bytes: usize,
}

/// The number of arrays of a call.
const ARRAYS: usize = 13;
/// The bytes of a member in addition to its texts: ids, numbers, its type, and the length of each
/// entry.
const BYTES_BESIDE: usize = 128;

/// Makes the call for a plain batch; `None` when the batch is not plain.
pub(super) fn query<P: Borrow<Prepared>>(
    batch: &[P],
) -> Option<Query<'static, Postgres, PgArguments>> {
    let mut plain = Plain::with_capacity(batch.len());
    for prepared in batch {
        plain.add(prepared.borrow())?;
    }
    // Either all members name an epoch or none does: the arrays cannot represent a mix.
    (plain.epoch.is_empty() || plain.epoch.len() == batch.len()).then(|| plain.into_query())
}

impl<'a> Plain<'a> {
    fn with_capacity(members: usize) -> Self {
        Self {
            epoch: Vec::new(),
            idempotency: Vec::with_capacity(members),
            stream: Vec::with_capacity(members),
            expected: Vec::with_capacity(members),
            behind: Vec::with_capacity(members),
            event: Vec::with_capacity(members),
            text: Vec::with_capacity(members),
            bytes: 0,
        }
    }

    fn add(&mut self, prepared: &'a Prepared) -> Option<()> {
        let append = &prepared.append;
        let ([stream], [text]) = (append.streams.as_slice(), prepared.texts.as_slice()) else {
            return None;
        };
        let [event] = stream.events.as_slice() else { return None };
        if !(prepared.checks.is_empty()
            && prepared.reservations.is_empty()
            && prepared.subjects.is_empty())
        {
            return None;
        }
        self.epoch.extend(append.epoch.map(|e| e.0));
        self.idempotency.push(append.idempotency.as_ref());
        self.stream.push(&stream.stream);
        self.expected.push(expected(stream.expected));
        self.behind.push(stream.expected.event_id());
        self.event.push(event);
        self.text.push(text);
        self.bytes += prepared.bytes + stream.stream.as_str().len() + BYTES_BESIDE;
        Some(())
    }

    fn into_query(self) -> Query<'static, Postgres, PgArguments> {
        let Self { epoch, idempotency, stream, expected, behind: named, event, text, bytes } = self;
        let any_key = idempotency.iter().any(Option::is_some);
        // Builds an array over the keys, or null when there is none.
        let keys = |of: fn(&Idempotency) -> &[u8]| {
            any_key.then(|| idempotency.iter().map(|i| i.map(of)).collect::<Vec<_>>())
        };
        let answers = any_key
            .then(|| idempotency.iter().map(|i| i.map(|i| i.answer.get())).collect::<Vec<_>>());
        let mut arguments = PgArguments::default();
        arguments.reserve(ARRAYS, bytes);
        // Not query_file!: the checked macros use EXPLAIN, which cannot describe the result of a
        // CALL.
        sqlx::query_with(include_str!("../../../sql/append_plain.sql"), arguments)
            .bind(filled(epoch))
            .bind(keys(|i| &i.key))
            .bind(keys(|i| &i.request_hash))
            .bind(answers)
            .bind(stream.iter().map(|s| s.as_str()).collect::<Vec<_>>())
            .bind(expected)
            .bind(behind(named))
            .bind(event.iter().map(|e| e.id).collect::<Vec<_>>())
            .bind(event.iter().map(|e| e.event_type.as_str()).collect::<Vec<_>>())
            .bind(event.iter().map(|e| e.schema_version).collect::<Vec<_>>())
            .bind(event.iter().map(|e| e.data.get()).collect::<Vec<_>>())
            .bind(text.iter().map(|t| t.metadata.as_str()).collect::<Vec<_>>())
            .bind(text.iter().map(|t| t.tags.as_str()).collect::<Vec<_>>())
    }
}
