//! An order with its lines in version 2 of the API.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Money;
use crate::read::order::{LineRow, OrderRow};
use crate::view::order::{CancelReason, OrderStatus, refund_due_minor};

/// An order with its lines.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Order {
    /// The order's id.
    id: Uuid,
    /// The id of the user who ordered.
    user_id: Uuid,
    /// The status of the order.
    #[schema(value_type = OrderStatus)]
    status: String,
    /// What the customer pays: the sum over all lines, less the discount, plus a tax that the
    /// prices do not contain. It is fixed at confirmation.
    total: Money,
    /// What was taken off the sum over all lines.
    discount: Money,
    /// The tax, whether the prices contain it or not.
    tax: Money,
    /// The country that the order goes to, a code of ISO 3166-1 alpha-2. Null without a shipping
    /// address.
    #[schema(required = true, example = "AT")]
    shipping_country: Option<String>,
    /// The region that the order goes to, the second part of a code of ISO 3166-2. Null if the
    /// shipping address has none.
    #[schema(required = true, example = "9")]
    shipping_region: Option<String>,
    /// The number of units over all lines.
    units: i64,
    /// The lines of the order.
    lines: Vec<Line>,
    /// What was paid.
    paid: Money,
    /// What was refunded of it.
    refunded: Money,
    /// What is still to be refunded of a cancelled order.
    refund_due: Money,
    /// The original date of an imported order, otherwise the time of confirmation.
    #[schema(required = true)]
    ordered_at: Option<DateTime<Utc>>,
    /// The time of the confirmation.
    #[schema(required = true)]
    confirmed_at: Option<DateTime<Utc>>,
    /// The time when the user asked to pay.
    #[schema(required = true)]
    payment_requested_at: Option<DateTime<Utc>>,
    /// The time of the payment.
    #[schema(required = true)]
    paid_at: Option<DateTime<Utc>>,
    /// The time of the shipment.
    #[schema(required = true)]
    shipped_at: Option<DateTime<Utc>>,
    /// The time of the delivery.
    #[schema(required = true)]
    delivered_at: Option<DateTime<Utc>>,
    /// The time of the cancellation.
    #[schema(required = true)]
    cancelled_at: Option<DateTime<Utc>>,
    /// Why the order was cancelled. Null if it was not, or if nobody recorded why.
    #[schema(required = true, value_type = Option<CancelReason>)]
    cancel_reason: Option<String>,
    /// The ids of the products that the reason is about, such as those that lacked units.
    cancel_products: Vec<Uuid>,
    /// The time of the latest refund.
    #[schema(required = true)]
    refunded_at: Option<DateTime<Utc>>,
    /// The time when the order was placed.
    created_at: DateTime<Utc>,
    /// The time of the latest change.
    updated_at: DateTime<Utc>,
    /// The version of the order. Each change raises it.
    version: i64,
}

/// A line of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Line {
    /// The line's id.
    #[serde(rename = "line_id")]
    id: Uuid,
    /// The product's id.
    product_id: Uuid,
    /// The product's name when it was ordered.
    product_name: String,
    /// The number of units.
    quantity: i64,
    /// The price of one unit.
    unit_price: Money,
}

impl Line {
    fn new(row: LineRow, currency: &str) -> Self {
        Self {
            id: row.line_id,
            product_id: row.product_id,
            product_name: row.product_name,
            quantity: row.quantity,
            unit_price: Money::new(row.unit_price_minor, currency),
        }
    }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        let due = refund_due_minor(&row);
        Self {
            id: row.id,
            user_id: row.user_id,
            status: row.status,
            total: Money::new(row.total_minor, &row.currency),
            discount: Money::new(row.discount_minor, &row.currency),
            tax: Money::new(row.tax_minor, &row.currency),
            shipping_country: row.shipping_country,
            shipping_region: row.shipping_region,
            units: row.units,
            lines: row.lines.0.into_iter().map(|line| Line::new(line, &row.currency)).collect(),
            paid: Money::new(row.paid_minor, &row.currency),
            refunded: Money::new(row.refunded_minor, &row.currency),
            refund_due: Money::new(due, &row.currency),
            ordered_at: row.ordered_at,
            confirmed_at: row.confirmed_at,
            payment_requested_at: row.payment_requested_at,
            paid_at: row.paid_at,
            shipped_at: row.shipped_at,
            delivered_at: row.delivered_at,
            cancelled_at: row.cancelled_at,
            cancel_reason: row.cancel_reason,
            cancel_products: row.cancel_products.0,
            refunded_at: row.refunded_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}
