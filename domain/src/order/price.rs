//! The price of an order. From its confirmation on, the rules of the shop decide it. Without rules,
//! it is the sum of the lines.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::event::{OrderPriced, OrderShippingAddressSet};
use super::{OrderError, Placed, Rules, total};
use crate::personal::Personal;
use crate::pricing::{LineToPrice, PriceRequest, PricingError};
use crate::value::{Destination, Money, MoneyError, PostalAddress, RateClass};

impl Placed {
    pub(super) fn set_shipping_address(
        &self,
        postal: PostalAddress,
        destination: Destination,
    ) -> OrderShippingAddressSet {
        let (order_id, user_id) = (self.order_id, self.user_id);
        let postal = Personal::new(user_id, postal);
        OrderShippingAddressSet { order_id, user_id, postal, destination }
    }

    /// The price by these rules. An order that was imported from another system keeps the price
    /// that it had there.
    pub(super) fn price(
        &self,
        at: DateTime<Utc>,
        rules: &Rules,
    ) -> Result<Option<OrderPriced>, OrderError> {
        if rules.pricing.is_empty() || self.ordered_at.is_some() {
            return Ok(None);
        }
        let lines = self.lines_to_price(&rules.rate_classes);
        let request = PriceRequest {
            at,
            customer_type: rules.customer_type,
            destination: self.destination.clone(),
            lines: lines.map_err(|reason| not_priced(reason.into()))?,
        };
        Ok(Some(OrderPriced {
            order_id: self.order_id,
            user_id: self.user_id,
            pricing_version: rules.version,
            price: rules.pricing.price(&request).map_err(not_priced)?,
        }))
    }

    /// What the customer pays: the price that the order was confirmed with, or the sum over all
    /// lines.
    pub(super) fn total(&self) -> Result<Money, OrderError> {
        self.agreed.map_or_else(|| total(self.currency, &self.lines), Ok)
    }

    fn lines_to_price(
        &self,
        rate_classes: &BTreeMap<Uuid, RateClass>,
    ) -> Result<Vec<LineToPrice>, MoneyError> {
        let lines = self.lines.iter().map(|line| {
            let rate_class = rate_classes.get(&line.product_id).copied().unwrap_or_default();
            let list = line.unit_price.times(line.quantity)?;
            Ok(LineToPrice { line_id: line.line_id, rate_class, list })
        });
        lines.collect()
    }
}

const fn not_priced(reason: PricingError) -> OrderError {
    OrderError::NotPriced { reason }
}
