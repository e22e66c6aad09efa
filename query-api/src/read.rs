//! Reading: each question is a type that says which projections it reads and how; [`Reader`]
//! answers it in one snapshot together with the position that the snapshot shows. Several questions
//! can share a [`Snapshot`].

/// Says whose tables a question reads.
///
/// The views are locked before the snapshot is taken: a switch to another generation comes wholly
/// before it or wholly after the answer. Otherwise the checkpoints could be those of the old tables
/// and the rows those of the new ones.
macro_rules! reads {
    ($($projection:literal),+) => {
        const PROJECTIONS: &'static [$crate::read::Projection] = &[$($projection),+];
        const BEGIN: &'static str = concat!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            $(, "; LOCK TABLE read_model.", $projection, " IN ACCESS SHARE MODE")+
        );
    };
}

mod failure;
pub mod order;
pub mod product;
mod reader;
pub mod sales;
mod scope;
mod seen;
mod snapshot;
mod stale;
pub mod table;
pub mod user;

pub use failure::ReadError;
pub use reader::{Reader, View};
pub use scope::ReadScope;
pub use seen::{Checkpoint, Seen};
pub use snapshot::Snapshot;
pub use stale::Shown;

use sqlx::PgConnection;

/// A projection, by the name of its checkpoint.
pub type Projection = &'static str;

/// Whatever some question reads.
struct All;

impl All {
    reads!("users", "orders", "products", "daily_sales");
}

/// All projections that some question reads: what must be there for this process to be ready.
pub const ALL_PROJECTIONS: &[Projection] = All::PROJECTIONS;

/// A question to the read tables.
pub trait Read: Send + Sync + 'static {
    /// The answer.
    type Answer: Send + 'static;

    /// Whose tables are read: the answer is complete up to the smallest of their positions. Named
    /// by `reads!`.
    const PROJECTIONS: &'static [Projection];

    /// Begins the transaction in which the question is asked. Named by `reads!`.
    const BEGIN: &'static str;

    /// The key, as text, of the one row of this projection that the answer depends on: then only
    /// that row's partition counts. `None`: all of them do.
    fn row(&self, projection: Projection) -> Option<String> {
        let _ = projection;
        None
    }

    /// Which rows the answer shows: some of them may lack events.
    fn shown(answer: &Self::Answer) -> Shown;

    /// Whether one statement answers it by a key, together with the checkpoints. Postgres locks
    /// what a statement reads before it takes the statement's snapshot, so such a question needs no
    /// transaction.
    const BY_KEY: bool = false;

    /// Asks, inside one snapshot. May be asked again when the tables were switched meanwhile.
    fn ask(
        &self,
        snapshot: &mut PgConnection,
    ) -> impl Future<Output = Result<Asked<Self::Answer>, sqlx::Error>> + Send;
}

/// What was asked for.
#[derive(Debug)]
pub struct Asked<T> {
    /// The answer.
    pub data: T,
    /// What the same statement said of the checkpoints, if it did: of every question that is
    /// answered by a key.
    pub checkpoints: Option<Vec<Checkpoint>>,
}

impl<T> From<T> for Asked<T> {
    fn from(data: T) -> Self {
        Self { data, checkpoints: None }
    }
}
