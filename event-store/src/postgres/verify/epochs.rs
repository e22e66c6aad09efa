//! Checks the epochs of the log. Each began at a position of the log and not before its
//! predecessor, and appends happen in the last one.

use postgres_kit::Connection;

use super::Verification;

/// Compares the epochs with each other and with the log's head.
pub(super) async fn check(
    connection: &mut Connection,
    found: &mut Verification,
) -> sqlx::Result<()> {
    let epochs = sqlx::query_file!("sql/verify_epochs.sql").fetch_all(connection).await?;
    match epochs.last() {
        None => found.find(None, "the log is in no epoch".to_owned()),
        Some(last) if last.epoch != last.current => {
            found.find(
                None,
                format!(
                    "the log is in epoch {}, but the last one that began is {}",
                    last.current, last.epoch
                ),
            );
        }
        Some(_) => {}
    }
    let mut before = 0;
    for (nth, epoch) in epochs.iter().enumerate() {
        let in_order = if nth == 0 { epoch.began_after == 0 } else { epoch.began_after >= before };
        if !in_order || epoch.began_after > found.head.0 {
            found.find(
                None,
                format!(
                    "epoch {} cannot have begun after position {}",
                    epoch.epoch, epoch.began_after
                ),
            );
        }
        before = epoch.began_after;
    }
    Ok(())
}
