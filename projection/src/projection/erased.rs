//! A type-erased projection, as the runner uses it, and how it prepares batches of events.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use event_store::subject::{SUBJECT_ERASED, erased_subject};
use event_store::{EventType, Position, RecordedEvent, Registry};
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::{Batch, Step, Write};
use super::only::Only;
use super::parking::Parking;
use super::past::{PastErasure, Piece, StoredPast};
use super::rows::{AnyRows, Rows};
use super::split::{Partitions, Split};
use super::{
    Incoming, Origin, Projection, ProjectionRow as _, Reason, RowKey, RowMisfit, guard, row,
};

/// Whether the text contains the lower-case word, ignoring case.
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

/// Whether two texts are equal.
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

/// A type-erased projection.
#[async_trait]
pub trait AnyProjection: Send + Sync + 'static {
    /// [`Projection::NAME`].
    fn name(&self) -> &'static str;
    /// [`Projection::FOLD_VERSION`].
    fn fold_version(&self) -> i32;
    /// [`Projection::TABLES`].
    fn tables(&self) -> &'static str;
    /// [`Projection::TRIGGERS`].
    fn triggers(&self) -> &'static str;
    /// [`Projection::INDEXES`].
    fn indexes(&self) -> &'static str;
    /// [`Projection::PERSONAL`].
    fn personal(&self) -> &'static [&'static str];
    /// [`Projection::COMMUTES`].
    fn commutes(&self) -> bool;
    /// [`Projection::HISTORY`].
    fn has_history(&self) -> bool;
    /// [`Projection::SPLIT`].
    fn split(&self) -> Split;
    /// [`Projection::handles`].
    fn handles(&self) -> Vec<&'static str>;
    /// The stored types of the events that [`AnyProjection::prepare`] uses.
    fn reads(&self, registry: &Registry) -> Vec<EventType>;
    /// Reads a batch through the registry, without I/O. Keeps only what concerns these partitions.
    fn prepare(
        &self,
        registry: &Registry,
        events: &[RecordedEvent],
        partitions: Partitions,
    ) -> Prepared;
    /// Normalises a key that a person wrote to the form of [`RowKey::text`]; `None` if it is not a
    /// key.
    fn key(&self, text: &str) -> Option<String>;
    /// Creates rows to be folded in memory: of these keys, limited to about `bytes` bytes.
    fn rows(&self, only: Only, bytes: usize) -> Box<dyn AnyRows>;
    /// Checks the row type against its table in the connection's current schema, and runs each of
    /// its statements without rows.
    ///
    /// # Errors
    /// Postgres's error.
    async fn check_row(&self, connection: &mut PgConnection)
    -> sqlx::Result<Result<(), RowMisfit>>;
}

/// A batch that was read and is ready to be folded.
pub struct Prepared {
    /// The number of events that the projection handles in these partitions.
    pub handled: usize,
    /// The number of ignored events: of types that it does not handle, or of other partitions.
    pub ignored: usize,
    /// The first unreadable event. The batch ends before it.
    pub unreadable: Option<(Position, Reason)>,
    pub(super) writer: Box<dyn Write>,
}

/// Why a batch could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The event at this position can be neither folded nor parked. None of the batch is applied.
    #[error("the event at position {0} cannot be folded")]
    Fold(Position, #[source] Reason),
    /// Postgres returned an error, or did not answer.
    #[error("the rows could not be loaded or saved")]
    Database(#[from] sqlx::Error),
}

impl Prepared {
    /// The number of events that each of `partitions` partitions handles. An event that touches
    /// rows of several partitions counts in each.
    pub(crate) fn handled_by(&self, partitions: i32) -> Vec<usize> {
        if partitions == 1 { vec![self.handled] } else { self.writer.handled_by(partitions) }
    }

    /// Loads the touched rows, folds the batch and saves the rows: three steps, whatever the
    /// batch's size. Call it inside a transaction whose `search_path` is the generation's schema.
    /// Refused events are left in `parking`, to be parked in the same transaction.
    ///
    /// # Errors
    /// [`WriteError`]. Roll back the transaction and discard the parking then.
    pub(crate) async fn write(
        &self,
        connection: &mut PgConnection,
        only: &Only,
        parking: &mut Parking,
        past: StoredPast,
    ) -> Result<(), WriteError> {
        self.writer.write(connection, only, parking, past).await
    }

    /// The rows among these keys from whose stored past the batch erases a subject.
    pub(crate) fn past_erasures(&self, only: &Only) -> Vec<PastErasure> {
        self.writer.past_erasures(only)
    }

    /// Blanks stored past rows of one of [`Prepared::past_erasures`], in order, after a position
    /// and at most this many. The connection is as for [`Prepared::write`].
    ///
    /// # Errors
    /// Postgres's error, or that a row cannot be blanked.
    pub(crate) async fn blank_past(
        &self,
        connection: &mut PgConnection,
        erasure: &PastErasure,
        rows: (Position, usize),
    ) -> sqlx::Result<Piece> {
        self.writer.blank_past(connection, erasure, rows).await
    }
}

/// Erases the type of a projection.
pub fn of<P: Projection>() -> Arc<dyn AnyProjection> {
    const {
        assert!(
            !has_word(P::INDEXES, b"unique"),
            "INDEXES refuses rows after they were loaded: a unique one belongs to TABLES"
        );
        assert!(
            !(P::HISTORY && P::COMMUTES),
            "HISTORY keeps past states, which events that take effect late (COMMUTES) would change"
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

    fn triggers(&self) -> &'static str {
        P::TRIGGERS
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

    fn has_history(&self) -> bool {
        P::HISTORY
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
        row::check::<P::Row>(connection, P::HISTORY).await
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
                // Only events that may become a handled type are parsed. Other unreadable events do
                // not matter.
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

/// Whether the fragments of a stored event concern these partitions.
fn touches<P: Projection>(steps: &[Step<P>], partitions: Partitions) -> bool {
    steps.iter().any(|step| match step {
        Step::Fold(_, keys) | Step::Blank(_, Some(keys)) => partitions.touched_by(keys),
        Step::Blank(_, None) => true,
    })
}

/// Whether erasures concern the projection.
const fn keeps_personal_fields<P: Projection>() -> bool {
    !P::PERSONAL.is_empty()
}

fn wanted<P: Projection>() -> Vec<EventType> {
    // A name that is not a valid type cannot occur in the log.
    P::handles().iter().filter_map(|name| name.parse().ok()).collect()
}

fn read_erasure<P: Projection>(
    event: &RecordedEvent,
    subject: Uuid,
    read: &mut Vec<Step<P>>,
) -> Result<(), Reason> {
    let RecordedEvent { position, version, fragment, recorded_at, .. } = *event;
    let origin = Origin::of(event);
    let erased = Incoming { event: subject, position, version, fragment, recorded_at, origin };
    let rows = guard::rows_of_subject::<P>(subject)?;
    if P::HISTORY && rows.is_none() {
        return Err("its past rows of the subject are not known: see Projection::HISTORY".into());
    }
    read.push(Step::Blank(erased, rows));
    Ok(())
}

/// Reads all fragments of a stored event into the same batch.
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
            let (origin, keys) = (Origin::of(fragment), guard::keys::<P>(&event)?);
            let RecordedEvent { position, version, fragment, recorded_at, .. } = *fragment;
            read.push(Step::Fold(
                Incoming { event, position, version, fragment, recorded_at, origin },
                keys,
            ));
        }
    }
    Ok(())
}
