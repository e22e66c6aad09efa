//! Tests of what counts as news of a payment.

#![allow(clippy::unwrap_used, reason = "tests")]

use uuid::Uuid;

use super::*;
use crate::aggregate::scenario::given;

fn report(state: ReportedState) -> PaymentReported {
    let payment_id = Evidence::parse("pi_7").unwrap();
    PaymentReported { order_id: Uuid::from_u128(100), payment_id, state, code: None }
}

fn reported(state: ReportedState) -> PaymentEvent {
    PaymentEvent::Reported(report(state))
}

#[test]
fn a_report_is_an_event_only_if_it_goes_beyond_the_one_before() {
    use ReportedState::{Authorised, Captured, Declined, Pending, Released};
    let order = [Pending, Authorised, Captured];
    for (at, before) in order.iter().enumerate() {
        for (next, state) in order.iter().enumerate() {
            let outcome =
                given::<Payment>([reported(*before)]).when(PaymentCommand::Report(report(*state)));
            if next > at { outcome.then([reported(*state)]) } else { outcome.then([]) }
        }
    }
    for end in [Captured, Released, Declined] {
        for state in [Captured, Released, Declined] {
            given::<Payment>([reported(end)]).when(PaymentCommand::Report(report(state))).then([]);
        }
        given::<Payment>([]).when(PaymentCommand::Report(report(end))).then([reported(end)]);
    }
}
