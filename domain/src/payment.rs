//! What the payment provider reports about an order's payment, for example when the bank decides
//! late. The stream has the id of the order.
//!
//! Reports come late, more than once and out of order. Only one that goes beyond what was reported
//! before is an event.

use std::convert::Infallible;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, stored_events};
use crate::value::Evidence;

#[cfg(test)]
mod tests;

/// What was reported of a payment. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Payment {
    reported: Option<ReportedState>,
}

/// What became of a payment. The words are stored in events, so they are permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportedState {
    /// The bank decides later.
    Pending,
    /// The money is set aside.
    Authorised,
    /// The money was taken.
    Captured,
    /// The money is no longer set aside.
    Released,
    /// The bank declined.
    Declined,
}

impl ReportedState {
    /// How far the payment has come.
    const fn rank(self) -> u8 {
        match self {
            Self::Pending => 1,
            Self::Authorised => 2,
            Self::Captured | Self::Released | Self::Declined => 3,
        }
    }
}

/// An event of a payment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PaymentEvent {
    /// `payment.reported` v1: the provider reported a payment.
    Reported(PaymentReported),
}

stored_events!(PaymentEvent {
    Reported(PaymentReported) => "payment.reported", 1;
});

/// The payload of `payment.reported` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PaymentReported {
    /// The order's id.
    pub order_id: Uuid,
    /// The provider's id of the payment.
    pub payment_id: Evidence,
    /// What became of it.
    pub state: ReportedState,
    /// The provider's reason, if the bank declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Evidence>,
}

/// A command to a payment.
#[derive(Debug, Clone)]
pub enum PaymentCommand {
    /// The provider reports a payment. A report that says nothing new changes nothing.
    Report(PaymentReported),
}

impl PaymentEvent {
    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        let Self::Reported(PaymentReported { order_id, .. }) = self;
        vec![("payment", *order_id), ("order", *order_id)]
    }
}

impl Aggregate for Payment {
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Error = Infallible;

    fn decide(&self, command: PaymentCommand) -> Result<Vec<PaymentEvent>, Infallible> {
        let PaymentCommand::Report(report) = command;
        let rank = |state: ReportedState| state.rank();
        let is_news = self.reported.map_or(0, rank) < report.state.rank();
        Ok(is_news.then_some(PaymentEvent::Reported(report)).into_iter().collect())
    }

    fn evolve(self, event: PaymentEvent) -> Self {
        let PaymentEvent::Reported(PaymentReported { state, .. }) = event;
        Self { reported: Some(state) }
    }
}
