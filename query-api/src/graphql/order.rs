//! Orders with their items.

use std::sync::Arc;

use access::Permission;
use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use graphql_kit::{AtOnce, Prompt};
use serde::Serialize;
use serde_json::Value;
use service_kit::input::Id;
use service_kit::{FieldError, Problem};
use uuid::Uuid;

use super::asking::{Answer, Asking};
use super::columns::{Shown, columns};
use super::connection::{Connection, Listed, Wanted};
use super::load::{OrderKey, ProductKey, UserKey};
use super::money::{Money, money};
use super::product::Product;
use super::scalar::Timestamp;
use super::user::User;
use crate::read::order::{LineRow, ListOrders, OrderRow, OrderSort};
use crate::view::known;
use crate::view::order::{CancelReason, OrderStatus, refund_due_minor};

/// An order.
pub(super) struct Order(pub(super) Arc<OrderRow>);

/// An item of an order: the line at this place.
struct OrderItem {
    order: Arc<OrderRow>,
    at: usize,
}

/// The columns that each list of orders reads: those that it is sorted by, and the user's id.
pub(super) const ALWAYS: &[&str] = &["id", "user_id", "created_at"];
/// The fields, and the columns that they show.
pub(super) const SHOWN: &[Shown] = &[
    ("cancelProductIds", &["cancel_products"]),
    ("cancelReason", &["cancel_reason"]),
    ("cancelledAt", &["cancelled_at"]),
    ("confirmedAt", &["confirmed_at"]),
    ("createdAt", &["created_at"]),
    ("deliveredAt", &["delivered_at"]),
    ("discount", &["discount_minor", "currency"]),
    ("id", &["id"]),
    ("items", &["lines", "currency"]),
    ("orderedAt", &["ordered_at"]),
    ("paid", &["paid_minor", "currency"]),
    ("paidAt", &["paid_at"]),
    ("paymentRequestedAt", &["payment_requested_at"]),
    ("refundDue", &["status", "paid_minor", "refunded_minor", "currency"]),
    ("refunded", &["refunded_minor", "currency"]),
    ("refundedAt", &["refunded_at"]),
    ("shippedAt", &["shipped_at"]),
    ("shippingCountry", &["shipping_country"]),
    ("shippingRegion", &["shipping_region"]),
    ("status", &["status"]),
    ("tax", &["tax_minor", "currency"]),
    ("total", &["total_minor", "currency"]),
    ("units", &["units"]),
    ("updatedAt", &["updated_at"]),
    ("user", &["user_id"]),
    ("userId", &["user_id"]),
    ("version", &["version"]),
];

/// The sorts of a list of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[graphql(name = "OrderSort", remote = "OrderSort")]
pub(super) enum SortOrders {
    /// By creation, oldest first.
    CreatedAtAsc,
    /// By creation, newest first.
    CreatedAtDesc,
}

/// Which orders a list has.
#[derive(Debug, Default, InputObject)]
pub(super) struct OrderFilter {
    /// Only orders of this user.
    user_id: Option<ID>,
    /// Only orders with this status.
    status: Option<OrderStatus>,
}

impl OrderFilter {
    /// The user and the status that it names.
    ///
    /// # Errors
    /// The user's id is none.
    pub(super) fn read(self) -> Result<(Option<Uuid>, Option<OrderStatus>), Problem> {
        let user_id = self.user_id.map(|id| id.parse::<Id>()).transpose().map_err(|error| {
            let error = FieldError::new("/filter/userId", "invalid", error.to_string());
            Problem::invalid(vec![error])
        })?;
        Ok((user_id.map(Id::get), self.status))
    }
}

#[derive(Default)]
pub(super) struct OrderQuery;

#[Object]
impl OrderQuery {
    /// One order; null if there is none with this id, or not for the caller.
    async fn order(&self, ctx: &Context<'_>, id: ID) -> Answer<Order> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            asking.scope(Permission::OrdersRead)?;
            find(asking, &id).await
        };
        answer.await.transpose()
    }

    /// The orders that the caller may see.
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The maximum number of orders: 1 to 100. The default is 20.")]
        first: Option<i32>,
        #[graphql(desc = "The cursor that the page starts after.")] after: Option<String>,
        filter: Option<OrderFilter>,
        #[graphql(default_with = "SortOrders::CreatedAtDesc")] sort: SortOrders,
    ) -> Answer<AtOnce<Connection<Order>>> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            let scope = asking.scope(Permission::OrdersRead)?;
            let read = filter.unwrap_or_default().read();
            let (user_id, status) = read.map_err(|problem| asking.failure(&problem))?;
            let list = ("orders", &(user_id, status, sort));
            let wanted = Wanted::read(asking, list, sort.into(), (first, after.as_deref()))?;
            let status = status.map(|status| status.text().to_owned());
            let page_request = wanted.request.clone();
            let columns = columns::<OrderRow>(&ctx.item.node, SHOWN, ALWAYS);
            let question = ListOrders { scope, user_id, status, columns, page_request };
            let page = asking.ask(question).await?;
            Ok(Some(wanted.connection(page, |row| Order(Arc::new(row)))))
        };
        answer.await.transpose()
    }

    #[graphql(entity)]
    async fn order_of_gateway(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Order>> {
        let asking = ctx.data::<Asking>()?;
        asking.entity(ctx, asking.scope(Permission::OrdersRead), find(asking, &id)).await
    }
}

/// Finds an order by id. A text that is no id is that of none.
async fn find(asking: &Asking, id: &ID) -> Result<Option<Order>> {
    let Ok(id) = id.parse::<Id>() else { return Ok(None) };
    Ok(asking.load(OrderKey(id.get())).await?.map(Order))
}

impl Listed for Order {
    type Sort = OrderSort;

    fn key(&self, sort: OrderSort) -> Value {
        self.0.key(sort)
    }
}

impl Prompt for Order {
    const WAITING: &'static [&'static str] = &["user", "product"];
}

impl Prompt for OrderItem {
    const WAITING: &'static [&'static str] = &["product"];
}

impl Order {
    fn money(&self, minor: i64) -> Money {
        money(minor, &self.0.currency)
    }
}

/// An order.
#[Object]
impl Order {
    /// The id: a UUID.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// The id of the user who ordered.
    async fn user_id(&self) -> ID {
        self.0.user_id.into()
    }

    /// The user who ordered. Null if the caller may not see the user.
    async fn user(&self, ctx: &Context<'_>) -> Answer<AtOnce<User>> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            asking.scope(Permission::UsersRead)?;
            Ok(asking.load(UserKey(self.0.user_id)).await?.map(|row| AtOnce(User(row))))
        };
        answer.await.transpose()
    }

    /// The items, in the order in which they were added.
    async fn items(&self) -> Vec<AtOnce<OrderItem>> {
        let item = |at| AtOnce(OrderItem { order: Arc::clone(&self.0), at });
        (0..self.0.lines.len()).map(item).collect()
    }

    /// The number of units over all items.
    async fn units(&self) -> i64 {
        self.0.units
    }

    /// What the customer pays: the sum over all items, less the discount, plus a tax that the
    /// prices do not contain. It is fixed at confirmation.
    async fn total(&self) -> Money {
        self.money(self.0.total_minor)
    }

    /// What was taken off the sum over all items.
    async fn discount(&self) -> Money {
        self.money(self.0.discount_minor)
    }

    /// The tax, whether the prices contain it or not.
    async fn tax(&self) -> Money {
        self.money(self.0.tax_minor)
    }

    /// What was paid.
    async fn paid(&self) -> Money {
        self.money(self.0.paid_minor)
    }

    /// What was refunded of it.
    async fn refunded(&self) -> Money {
        self.money(self.0.refunded_minor)
    }

    /// What is still to be refunded of a cancelled order.
    async fn refund_due(&self) -> Money {
        self.money(refund_due_minor(&self.0))
    }

    /// The status. Null if this program does not know it yet.
    async fn status(&self) -> Option<OrderStatus> {
        known(&self.0.status)
    }

    /// The country that the order goes to, a code of ISO 3166-1 alpha-2. Null without a shipping
    /// address.
    async fn shipping_country(&self) -> Option<&str> {
        self.0.shipping_country.as_deref()
    }

    /// The region that the order goes to, the second part of a code of ISO 3166-2. Null if the
    /// shipping address has none.
    async fn shipping_region(&self) -> Option<&str> {
        self.0.shipping_region.as_deref()
    }

    /// The original date of an imported order, otherwise the time of confirmation.
    async fn ordered_at(&self) -> Option<Timestamp> {
        self.0.ordered_at.map(Timestamp)
    }

    /// The time of the confirmation.
    async fn confirmed_at(&self) -> Option<Timestamp> {
        self.0.confirmed_at.map(Timestamp)
    }

    /// The time when the user asked to pay.
    async fn payment_requested_at(&self) -> Option<Timestamp> {
        self.0.payment_requested_at.map(Timestamp)
    }

    /// The time of the payment.
    async fn paid_at(&self) -> Option<Timestamp> {
        self.0.paid_at.map(Timestamp)
    }

    /// The time of the shipment.
    async fn shipped_at(&self) -> Option<Timestamp> {
        self.0.shipped_at.map(Timestamp)
    }

    /// The time of the delivery.
    async fn delivered_at(&self) -> Option<Timestamp> {
        self.0.delivered_at.map(Timestamp)
    }

    /// The time of the cancellation.
    async fn cancelled_at(&self) -> Option<Timestamp> {
        self.0.cancelled_at.map(Timestamp)
    }

    /// Why the order was cancelled. Null if it was not, if nobody recorded why, or if this program
    /// does not know the reason yet.
    async fn cancel_reason(&self) -> Option<CancelReason> {
        known(self.0.cancel_reason.as_deref()?)
    }

    /// The ids of the products that the reason is about, such as those that lacked units.
    async fn cancel_product_ids(&self) -> Vec<ID> {
        self.0.cancel_products.iter().map(|id| ID::from(*id)).collect()
    }

    /// The time of the latest refund.
    async fn refunded_at(&self) -> Option<Timestamp> {
        self.0.refunded_at.map(Timestamp)
    }

    /// The time when the order was placed.
    async fn created_at(&self) -> Timestamp {
        Timestamp(self.0.created_at)
    }

    /// The time of the latest change.
    async fn updated_at(&self) -> Timestamp {
        Timestamp(self.0.updated_at)
    }

    /// The version of the order. Each change raises it.
    async fn version(&self) -> i64 {
        self.0.version
    }
}

impl OrderItem {
    fn line(&self) -> &LineRow {
        &self.order.lines[self.at]
    }
}

/// An item of an order.
#[Object]
impl OrderItem {
    /// The id of the item.
    async fn id(&self) -> ID {
        self.line().line_id.into()
    }

    /// The id of the product.
    async fn product_id(&self) -> ID {
        self.line().product_id.into()
    }

    /// The product as it is now. Null if it is not there, or not for the caller.
    async fn product(&self, ctx: &Context<'_>) -> Answer<AtOnce<Product>> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            asking.everything(Permission::ProductsRead)?;
            Ok(asking
                .load(ProductKey(self.line().product_id))
                .await?
                .map(|row| AtOnce(Product(row))))
        };
        answer.await.transpose()
    }

    /// The product's name when it was ordered.
    async fn product_name(&self) -> &str {
        &self.line().product_name
    }

    /// The number of units.
    async fn quantity(&self) -> i64 {
        self.line().quantity
    }

    /// The price of one unit.
    async fn unit_price(&self) -> Money {
        money(self.line().unit_price_minor, &self.order.currency)
    }
}
