//! Whether the log is the one that a partition was built from: whether it holds the event of the
//! checkpoint at the checkpoint's position.

use event_store::{Epoch, EventRef, EventStore, StoreError};

/// What the log turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum History {
    /// The log of the checkpoint, which goes on in this epoch.
    Same(Epoch),
    /// Another one; which command goes on.
    Other(String),
}

/// Compares a checkpoint of `projection` with the log.
pub(crate) async fn of(
    store: &dyn EventStore,
    projection: &str,
    (epoch, mark): (Option<Epoch>, EventRef),
) -> Result<History, StoreError> {
    // In this order: an event that stands there after an epoch has begun stood there before.
    let head = store.head().await?;
    let position = mark.position;
    if mark == EventRef::START || store.event_ref_at(position).await? == Some(mark) {
        return Ok(History::Same(head.epoch));
    }
    let is_over = match epoch {
        Some(epoch) if epoch != head.epoch => store.descends_from(epoch).await?,
        _ => false,
    };
    let anew = format!(
        "`projector rebuild {projection}` makes the rows anew beside the old ones, which queries \
            see until then \
         (`projector start-over {projection}` does without them at once)"
    );
    let over = format!(
        "the log holds another event at position {position} than the one that was projected, so \
            it has another history; {anew}"
    );
    let lost = || {
        let abandon = epoch
            .filter(|epoch| *epoch != head.epoch)
            .map_or_else(String::new, |epoch| format!(" --abandon {epoch}"));
        format!(
            "the log has not the event that was projected at position {position}: the database \
                was restored, or a standby promoted \
             with commits missing. Bring the right server back; or, if this log is to go on as it \
             is, run \
             `event-store epoch begin{abandon}`; then {anew}"
        )
    };
    Ok(History::Other(if is_over { over } else { lost() }))
}
