//! What happens to an order after its confirmation: payment, shipment, delivery, cancellation and
//! refunds.

use super::command::Record;
use super::event::{
    OrderCancelled, OrderDelivered, OrderEvent, OrderPaid, OrderPaymentRequested, OrderRefunded,
    OrderSaleCancelled, OrderShipped,
};
use super::{Cancellation, OrderError, OrderStatus, Placed};
use crate::value::{Money, MoneyError};

impl Placed {
    fn needs(&self, needed: OrderStatus) -> Result<(), OrderError> {
        if self.status == needed {
            Ok(())
        } else {
            Err(OrderError::OtherStatus { status: self.status, needed })
        }
    }

    /// Checks that the record is not made by the owner of the order.
    fn check(&self, record: &Record) -> Result<(), OrderError> {
        if record.by == Some(self.user_id) { Err(OrderError::OwnOrder) } else { Ok(()) }
    }

    pub(super) fn request_payment(&self) -> Result<Option<OrderPaymentRequested>, OrderError> {
        self.needs(OrderStatus::Confirmed)?;
        let (order_id, user_id, amount) = (self.order_id, self.user_id, self.total()?);
        let is_new = !self.payment_requested;
        Ok(is_new.then_some(OrderPaymentRequested { order_id, user_id, amount }))
    }

    pub(super) fn record_payment(&self, record: Record) -> Result<OrderPaid, OrderError> {
        self.check(&record)?;
        self.needs(OrderStatus::Confirmed)?;
        Ok(OrderPaid {
            order_id: self.order_id,
            user_id: self.user_id,
            amount: self.total()?,
            ordered_at: self.sold_at()?,
            reason: record.reason,
            evidence: record.evidence,
        })
    }

    pub(super) fn ship(&self, record: Record) -> Result<OrderShipped, OrderError> {
        self.check(&record)?;
        self.needs(OrderStatus::Paid)?;
        let (order_id, user_id) = (self.order_id, self.user_id);
        let Record { reason, evidence, .. } = record;
        Ok(OrderShipped { order_id, user_id, reason, evidence })
    }

    pub(super) fn deliver(&self, record: Record) -> Result<OrderDelivered, OrderError> {
        self.check(&record)?;
        self.needs(OrderStatus::Shipped)?;
        let (order_id, user_id) = (self.order_id, self.user_id);
        let Record { reason, evidence, .. } = record;
        Ok(OrderDelivered { order_id, user_id, reason, evidence })
    }

    pub(super) fn refund(
        &self,
        amount: Money,
        record: Record,
    ) -> Result<OrderRefunded, OrderError> {
        self.check(&record)?;
        let paid = self.paid.ok_or(OrderError::NothingPaid)?;
        if amount.currency() != paid.currency() {
            let reason = MoneyError::Mixed { left: paid.currency(), right: amount.currency() };
            return Err(OrderError::Refund { reason });
        }
        if amount.minor() < 1 {
            return Err(OrderError::EmptyRefund);
        }
        let refunded = self.refunded().plus(amount);
        let refunded = refunded.map_err(|reason| OrderError::Refund { reason })?;
        if refunded.minor() > paid.minor() {
            let left = paid.minor().saturating_sub(self.refunded().minor());
            let left = Money::from_minor(left, paid.currency());
            let left = left.map_err(|reason| OrderError::Refund { reason })?;
            return Err(OrderError::RefundTooLarge { left });
        }
        if refunded == paid && self.status == OrderStatus::Paid {
            return Err(OrderError::CancelFirst);
        }
        Ok(OrderRefunded {
            order_id: self.order_id,
            user_id: self.user_id,
            amount,
            refunded,
            ends_order: refunded == paid && self.status != OrderStatus::Cancelled,
            ordered_at: self.sold_at()?,
            reason: record.reason,
            evidence: record.evidence,
        })
    }

    pub(super) fn cancel(&self, cancellation: Cancellation) -> Result<OrderEvent, OrderError> {
        let (order_id, user_id) = (self.order_id, self.user_id);
        let (reason, products) = (Some(cancellation.reason), cancellation.products);
        match self.status {
            OrderStatus::Pending => {
                Ok(OrderEvent::Cancelled(OrderCancelled { order_id, user_id, reason }))
            }
            OrderStatus::Confirmed | OrderStatus::Paid => {
                Ok(OrderEvent::SaleCancelled(OrderSaleCancelled {
                    order_id,
                    user_id,
                    total: self.total()?,
                    units: self.units(),
                    ordered_at: self.sold_at()?,
                    reason,
                    products,
                }))
            }
            status @ (OrderStatus::Shipped
            | OrderStatus::Delivered
            | OrderStatus::Cancelled
            | OrderStatus::Refunded) => Err(OrderError::NotCancellable { status }),
        }
    }

    /// The amount that was given back so far.
    pub(super) fn refunded(&self) -> Money {
        self.refunded.unwrap_or(Money::zero(self.currency))
    }

    /// Notes a refund, as an event says.
    pub(super) fn follow_refund(&mut self, event: &OrderRefunded) {
        self.refunded = Some(event.refunded);
        if event.ends_order {
            self.status = OrderStatus::Refunded;
        }
    }
}
