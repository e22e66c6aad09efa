//! A projection without its types, as the runner holds it, and how a batch of events becomes rows.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use event_store::erasure::{SUBJECT_ERASED, erased_subject};
use event_store::{EventType, Position, RecordedEvent, Registry};
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::{Batch, Step, Write};
use super::only::Only;
use super::parking::Parking;
use super::rows::{AnyRows, Rows};
use super::split::{Partitions, Split};
use super::{Incoming, Projection, ProjectionRow as _, Reason, RowKey, RowMisfit, guard, row};

/// Whether the word, in small letters, stands somewhere in the text, whatever its case.
const fn has_word(text: &str, word: &[u8]) -> bool {
    let text = text.as_bytes();
    let mut start = 0;
    while start + word.len() <= text.len() {
        let mut same = 0;
        while same < word.len() && text[start + same].to_ascii_lowercase() == word[same] {
            same += 1;
        }
        if same == word.len() {
            return true;
        }
        start += 1;
    }
    false
}

/// Whether two texts are the same.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other, mut at) = (one.as_bytes(), other.as_bytes(), 0);
    if one.len() != other.len() {
        return false;
    }
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A projection without its types.
#[async_trait]
pub trait AnyProjection: Send + Sync + 'static {
    /// [`Projection::NAME`].
    fn name(&self) -> &'static str;
    /// [`Projection::FOLD_VERSION`].
    fn fold_version(&self) -> i32;
    /// [`Projection::TABLES`].
    fn tables(&self) -> &'static str;
    /// [`Projection::INDEXES`].
    fn indexes(&self) -> &'static str;
    /// [`Projection::PERSONAL`].
    fn personal(&self) -> &'static [&'static str];
    /// [`Projection::COMMUTES`].
    fn commutes(&self) -> bool;
    /// [`Projection::SPLIT`].
    fn split(&self) -> Split;
    /// [`Projection::handles`].
    fn handles(&self) -> Vec<&'static str>;
    /// The stored types of the events that [`AnyProjection::prepare`] makes something of.
    fn reads(&self, registry: &Registry) -> Vec<EventType>;
    /// Reads a batch through the registry, without any I/O: what is the business of these
    /// partitions.
    fn prepare(
        &self,
        registry: &Registry,
        events: &[RecordedEvent],
        partitions: Partitions,
    ) -> Prepared;
    /// A key as [`RowKey::text`] writes it, from what a person wrote; `None` when that is no key.
    fn key(&self, text: &str) -> Option<String>;
    /// Rows to be folded in memory, of these keys, in about so many bytes.
    fn rows(&self, only: Only, bytes: usize) -> Box<dyn AnyRows>;
    /// Compares its row with its table in the schema that the connection works in, and runs each
    /// of its statements with no rows.
    ///
    /// # Errors
    /// As Postgres says.
    async fn check_row(&self, connection: &mut PgConnection)
    -> sqlx::Result<Result<(), RowMisfit>>;
}

/// A batch that was read and is ready to be folded.
pub struct Prepared {
    /// How many of its events the projection handles, in these partitions.
    pub handled: usize,
    /// How many events were passed over: of types unknown to the projection, or the business of
    /// other partitions.
    pub ignored: usize,
    /// The first event that cannot be read: the batch ends before it.
    pub unreadable: Option<(Position, Reason)>,
    pub(super) writer: Box<dyn Write>,
}

/// Why a batch did not become rows.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The event at this position cannot be folded and not be parked; nothing of the batch counts.
    #[error("the event at position {0} cannot be folded")]
    Fold(Position, #[source] Reason),
    /// As Postgres says.
    #[error("the rows could not be loaded or saved")]
    Database(#[from] sqlx::Error),
}

impl Prepared {
    /// How many of its events each of so many partitions handles: one that touches rows of several
    /// counts in each.
    pub(crate) fn handled_by(&self, partitions: i32) -> Vec<usize> {
        if partitions == 1 { vec![self.handled] } else { self.writer.handled_by(partitions) }
    }

    /// Loads the touched rows, folds the batch and saves them: three steps, whatever the batch's
    /// size. Call inside a transaction whose `search_path` is the generation's schema. What is
    /// refused is left in `parking`, to be parked in the same transaction.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction is then to be rolled back, and the parking forgotten.
    pub(crate) async fn write(
        &self,
        connection: &mut PgConnection,
        only: &Only,
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        self.writer.write(connection, only, parking).await
    }
}

/// `P` without its types.
pub fn of<P: Projection>() -> Arc<dyn AnyProjection> {
    const {
        assert!(
            !has_word(P::INDEXES, b"unique"),
            "INDEXES refuses rows after they were loaded: a unique one belongs to TABLES"
        );
        assert!(
            is_same(P::NAME, P::Row::TABLE),
            "the row of a projection is declared in the table of the projection's name"
        );
    };
    Arc::new(Erased::<P>(PhantomData))
}

struct Erased<P>(PhantomData<P>);

#[async_trait]
impl<P: Projection> AnyProjection for Erased<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn fold_version(&self) -> i32 {
        P::FOLD_VERSION
    }

    fn tables(&self) -> &'static str {
        P::TABLES
    }

    fn indexes(&self) -> &'static str {
        P::INDEXES
    }

    fn personal(&self) -> &'static [&'static str] {
        P::PERSONAL
    }

    fn commutes(&self) -> bool {
        P::COMMUTES
    }

    fn split(&self) -> Split {
        P::SPLIT
    }

    fn handles(&self) -> Vec<&'static str> {
        P::handles()
    }

    fn reads(&self, registry: &Registry) -> Vec<EventType> {
        let mut types = registry.widen_types(&wanted::<P>());
        if keeps_personal_fields::<P>() {
            types.extend(SUBJECT_ERASED.parse());
        }
        types
    }

    fn key(&self, text: &str) -> Option<String> {
        P::Key::parse(text).map(|key| key.text())
    }

    fn rows(&self, only: Only, bytes: usize) -> Box<dyn AnyRows> {
        Box::new(Rows::<P>::new(only, bytes))
    }

    async fn check_row(
        &self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Result<(), RowMisfit>> {
        row::check::<P::Row>(connection).await
    }

    fn prepare(
        &self,
        registry: &Registry,
        events: &[RecordedEvent],
        partitions: Partitions,
    ) -> Prepared {
        let wanted = wanted::<P>();
        let stored = registry.widen_types(&wanted);
        let mut read: Vec<Step<P>> = Vec::new();
        let (mut handled, mut ignored) = (0, 0);
        let mut unreadable = None;
        for event in events {
            let before = read.len();
            let done = match erased_subject(event) {
                Some(subject) if keeps_personal_fields::<P>() => {
                    read_erasure::<P>(event, subject, &mut read)
                }
                // Only what may become a type that it handles is looked into: what else cannot be
                // read is none of its business.
                None if stored.contains(&event.event_type) => {
                    read_fragments::<P>(registry, event, &wanted, &mut read)
                }
                Some(_) | None => Ok(()),
            };
            if let Err(reason) = done {
                read.truncate(before);
                unreadable = Some((event.position, reason));
                break;
            }
            if touches::<P>(&read[before..], partitions) {
                handled += 1;
            } else {
                read.truncate(before);
                ignored += 1;
            }
        }
        Prepared { handled, ignored, unreadable, writer: Box::new(Batch::<P>(read)) }
    }
}

/// Whether what a stored event has become is the business of these partitions.
fn touches<P: Projection>(steps: &[Step<P>], partitions: Partitions) -> bool {
    steps.iter().any(|step| match step {
        Step::Fold(_, keys) | Step::Blank(_, Some(keys)) => partitions.touched_by(keys),
        Step::Blank(_, None) => true,
    })
}

/// Whether an erasure is any business of the projection's.
const fn keeps_personal_fields<P: Projection>() -> bool {
    !P::PERSONAL.is_empty()
}

fn wanted<P: Projection>() -> Vec<EventType> {
    // A name that is no type is in no log.
    P::handles().iter().filter_map(|name| name.parse().ok()).collect()
}

fn read_erasure<P: Projection>(
    event: &RecordedEvent,
    subject: Uuid,
    read: &mut Vec<Step<P>>,
) -> Result<(), Reason> {
    let RecordedEvent { position, version, fragment, recorded_at, .. } = *event;
    let erased = Incoming { event: subject, position, version, fragment, recorded_at };
    read.push(Step::Blank(erased, guard::rows_of_subject::<P>(subject)?));
    Ok(())
}

/// Reads all that a stored event has become: one batch has all of it.
fn read_fragments<P: Projection>(
    registry: &Registry,
    event: &RecordedEvent,
    wanted: &[EventType],
    read: &mut Vec<Step<P>>,
) -> Result<(), Reason> {
    for fragment in
        registry.upcast(event)?.iter().filter(|fragment| wanted.contains(&fragment.event_type))
    {
        if let Some(event) = guard::guarded("reading", || P::read(fragment).transpose())? {
            let RecordedEvent { position, version, fragment, recorded_at, .. } = *fragment;
            let keys = guard::keys::<P>(&event)?;
            read.push(Step::Fold(
                Incoming { event, position, version, fragment, recorded_at },
                keys,
            ));
        }
    }
    Ok(())
}
