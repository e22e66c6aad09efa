//! An order that was paid twice: the saga took the money, and a person recorded another payment
//! before the saga could record its own. The saga's money is given back, and the order is shipped.

use saga::{Call, Outcome};

use super::actions::OrderFulfilment;
use super::progress::Progress;
use super::{CAPTURE, payment};

/// Gives back what was paid twice, if anything was.
///
/// The key is that of the compensation of the capture, so that the provider knows the refund again
/// if the saga is undone later.
///
/// # Errors
/// What the step returns if the money could not be given back now. A refund that is refused is
/// tried again, too, because the order is paid and must not be undone for it.
pub(super) async fn give_back(own: &OrderFulfilment, at: &Progress<'_>) -> Result<(), Outcome> {
    if !at.is_paid_twice() {
        return Ok(());
    }
    let idempotency_key = saga::id::of_compensation(at.call.instance, CAPTURE, 1);
    let call = Call { idempotency_key, ..at.call.clone() };
    let refund = Progress { call: &call, facts: at.facts.clone() };
    match payment::undo_capture(own, &refund).await {
        Outcome::Done(_) => Ok(()),
        Outcome::Rejected(reason) => {
            let reason = format!("what was paid twice is not given back: {}", reason.text);
            Err(Outcome::unavailable(reason))
        }
        other => Err(other),
    }
}
