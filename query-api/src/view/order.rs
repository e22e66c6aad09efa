//! An order with its lines, in the form that clients see.

use async_graphql::Enum;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::decimals;
use crate::read::order::{LineRow, OrderRow};

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
    /// The currency code of all prices in the order.
    #[schema(example = "USD")]
    currency: String,
    /// What the customer pays, as a decimal number of the currency: the sum over all lines, less
    /// the discount, plus a tax that the prices do not contain. It is fixed at confirmation.
    #[schema(example = "29.34")]
    total: String,
    /// What was taken off the sum over all lines, as a decimal number of the currency.
    #[schema(example = "0.00")]
    discount: String,
    /// The tax, as a decimal number of the currency, whether the prices contain it or not.
    #[schema(example = "0.00")]
    tax: String,
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
    /// What was paid, as a decimal number of the currency.
    #[schema(example = "29.34")]
    paid: String,
    /// What was refunded of it, as a decimal number of the currency.
    #[schema(example = "14.67")]
    refunded: String,
    /// What is still to be refunded of a cancelled order, as a decimal number of the currency.
    #[schema(example = "0.00")]
    refund_due: String,
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
    /// The price of one unit, as a decimal number of the currency.
    #[schema(example = "14.67")]
    unit_price: String,
    /// The currency code of the price.
    #[schema(example = "USD")]
    currency: String,
}

/// The status of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, Enum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderStatus {
    Pending,
    Confirmed,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
    Refunded,
}

impl OrderStatus {
    /// The status as stored in its column.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }
}

/// Why an order was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, Enum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelReason {
    /// The user who ordered wanted it.
    Customer,
    /// Staff decided it.
    Staff,
    /// There was not enough in stock.
    OutOfStock,
    /// The bank or the provider declined the payment.
    PaymentDeclined,
    /// No answer about the payment came in time.
    PaymentUnanswered,
    /// The shipper does not ship it.
    ShippingRejected,
    /// It was not shipped in time.
    Expired,
    /// The personal data of the user who ordered were erased.
    UserErased,
}

impl Line {
    fn new(row: LineRow, currency: &str, decimal: impl Fn(i64) -> String) -> Self {
        Self {
            id: row.line_id,
            product_id: row.product_id,
            product_name: row.product_name,
            quantity: row.quantity,
            unit_price: decimal(row.unit_price_minor),
            currency: currency.to_owned(),
        }
    }
}

/// What is still to be refunded of a cancelled order, in minor units of its currency.
pub(crate) fn refund_due_minor(row: &OrderRow) -> i64 {
    let is_cancelled = row.status == OrderStatus::Cancelled.text();
    if is_cancelled { row.paid_minor.saturating_sub(row.refunded_minor) } else { 0 }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        let (due, decimal) = (refund_due_minor(&row), decimals(&row.currency));
        let line = |line| Line::new(line, &row.currency, &decimal);
        let lines = row.lines.0.into_iter().map(line).collect();
        Self {
            id: row.id,
            user_id: row.user_id,
            status: row.status,
            total: decimal(row.total_minor),
            discount: decimal(row.discount_minor),
            tax: decimal(row.tax_minor),
            shipping_country: row.shipping_country,
            shipping_region: row.shipping_region,
            units: row.units,
            lines,
            paid: decimal(row.paid_minor),
            refunded: decimal(row.refunded_minor),
            refund_due: decimal(due),
            currency: row.currency,
            ordered_at: row.ordered_at,
            confirmed_at: row.confirmed_at,
            payment_requested_at: row.payment_requested_at,
            paid_at: row.paid_at,
            shipped_at: row.shipped_at,
            delivered_at: row.delivered_at,
            cancelled_at: row.cancelled_at,
            refunded_at: row.refunded_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}
