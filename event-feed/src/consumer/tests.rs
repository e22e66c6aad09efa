//! Tests when a process that could not read the log takes a share of the work again.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_process_without_work_takes_its_share_again_once_the_log_has_answered_for_a_while() {
    let mut consumer = Consumer::default();
    assert!(consumer.is_able());
    consumer.asked(false);
    assert!(consumer.is_able(), "a short outage does not stop it");
    tokio::time::advance(UNABLE_AFTER).await;
    assert!(!consumer.is_able());
    // The keys may have been what was away: an answer of the log alone is believed later.
    consumer.asked(true);
    assert!(!consumer.is_able());
    tokio::time::advance(TRY_AGAIN).await;
    assert!(!consumer.is_able());
    consumer.asked(false);
    assert!(!consumer.is_able(), "the log does not answer");
    consumer.asked(true);
    assert!(consumer.is_able());
}
