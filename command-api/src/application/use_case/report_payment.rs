//! Records what the payment provider reports about an order's payment.

use access::{Owner, Permission};
use domain::payment::{Payment, PaymentCommand, PaymentReported};

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::NewId;

/// Records a report. One that says nothing new changes nothing.
pub struct ReportPayment {
    /// What the provider reported about the payment.
    pub report: PaymentReported,
}

impl UseCase for ReportPayment {
    const NAME: &'static str = "report_payment";
    const PERMISSION: Permission = Permission::OrdersFulfil;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let payment = work.created::<Payment>(NewId::Given(self.report.order_id)).await?;
        let Ok(events) = payment.decide([PaymentCommand::Report(self.report.clone())]);
        Ok(work.changes(&payment, &events)?.into())
    }
}
