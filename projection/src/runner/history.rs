//! Proves that the log is the one from which a partition was built, and tells what to do if not.

use event_feed::consumer::continuity::{self, Continuity};
use event_store::{Epoch, EventRef, EventStore, StoreError};

/// How the log relates to a partition's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum History {
    /// It is the checkpoint's log, which continues in this epoch.
    Same(Epoch),
    /// It has another history. The text tells people which command to run.
    Other(String),
}

/// Compares a checkpoint of `projection` with the log.
pub(crate) async fn of(
    store: &dyn EventStore,
    projection: &str,
    (epoch, mark): (Option<Epoch>, EventRef),
) -> Result<History, StoreError> {
    let position = mark.position;
    let again = format!(
        "`projector rebuild {projection}` builds new rows while queries still see the old ones \
         (`projector start-over {projection}` drops the old ones first)"
    );
    Ok(match continuity::prove(store, epoch, mark).await? {
        Continuity::Same(epoch) => History::Same(epoch),
        Continuity::Over => History::Other(format!(
            "the log has another event at position {position} than the one that was projected, so \
             it has another history; {again}"
        )),
        Continuity::Lost { unknown, .. } => {
            let abandon = unknown.map_or_else(String::new, |epoch| format!(" --abandon {epoch}"));
            History::Other(format!(
                "the log does not have the event that was projected at position {position}: the \
                 database was restored, or a standby was promoted with commits missing. Bring the \
                 right server back. Or, if this log is to continue as it is, run \
                 `event-store epoch begin{abandon}`; then {again}"
            ))
        }
    })
}
