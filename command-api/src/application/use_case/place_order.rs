//! Places an order at the current prices.

use std::collections::HashMap;

use access::{Owner, Permission};
use chrono::{DateTime, Utc};
use domain::order::{MAX_LINES, Order, OrderCommand, OrderError, OrderLine};
use domain::product::{Offer, Product};
use domain::user::{Customer, NewAddress, User};
use domain::user_orders::UserOrders;
use domain::value::Quantity;
use futures::future::join3;
use uuid::Uuid;

use super::{AddressInput, Decision, Orderer, UseCase, Work, offer, open_orders, shipping_address};
use crate::application::error::CommandError;
use crate::application::input::{Environment, FieldPath, Fields, Input, InvalidValue, NewId};
use crate::application::repository::Loaded;

/// The event after which a user can no longer order.
const DEACTIVATED: &str = "user.deactivated";

/// An order to place, as the caller writes it.
#[derive(Clone)]
pub struct PlaceOrderInput {
    /// The new id of the order, if the caller gives one.
    pub id: Option<Uuid>,
    /// The user who orders.
    pub orderer: Orderer,
    /// The lines of the order: 1 to [`MAX_LINES`].
    pub lines: Vec<LineInput>,
    /// Where the order goes. It has no label.
    pub shipping_address: Option<AddressInput>,
}

/// A line of an order, as the caller writes it.
#[derive(Debug, Clone, Copy)]
pub struct LineInput {
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units, from 1.
    pub quantity: i64,
}

impl Input for PlaceOrderInput {
    type UseCase = PlaceOrder;

    fn read(self, _: &Environment) -> Result<PlaceOrder, CommandError> {
        let mut fields = Fields::default();
        let order_id = NewId::read(self.id, &mut fields);
        check_line_count(&mut fields, self.lines.len());
        let lines = self.lines.into_iter().enumerate();
        let lines = lines
            .filter_map(|(at, line)| line.read(&mut fields, ("lines", at, "quantity")))
            .collect();
        let address = self.shipping_address.as_ref();
        let shipping_address =
            address.and_then(|address| address.read_in(Some("shipping_address"), &mut fields));
        fields.check()?;
        Ok(PlaceOrder { order_id, orderer: self.orderer, lines, shipping_address })
    }
}

impl LineInput {
    /// Reads the line. `at` is the path of its quantity.
    pub(super) fn read(self, fields: &mut Fields, at: impl Into<FieldPath>) -> Option<LineRequest> {
        let quantity = fields.value(at, Quantity::try_from(self.quantity))?;
        Some(LineRequest { line_id: Uuid::now_v7(), product_id: self.product_id, quantity })
    }
}

/// Checks that an order has 1 to [`MAX_LINES`] lines.
pub(super) fn check_line_count(fields: &mut Fields, count: usize) {
    if count == 0 {
        fields.refuse("lines", InvalidValue::NoLines);
    } else if count > MAX_LINES {
        fields.refuse("lines", InvalidValue::TooManyLines);
    }
}

/// Places an order.
pub struct PlaceOrder {
    /// The new id of the order.
    pub order_id: NewId,
    /// The user who orders.
    pub orderer: Orderer,
    /// The lines of the order.
    pub lines: Vec<LineRequest>,
    /// Where the order goes.
    pub shipping_address: Option<NewAddress>,
}

/// A line of an order, after it was read.
#[derive(Debug, Clone, Copy)]
pub struct LineRequest {
    /// The new id of the line.
    pub line_id: Uuid,
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units, from 1.
    pub quantity: Quantity,
}

impl UseCase for PlaceOrder {
    const NAME: &'static str = "place_order";
    const PERMISSION: Permission = Permission::OrdersWrite;
    const CREATES: bool = true;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.orderer.user_id()))
    }

    fn hidden(&self) -> CommandError {
        self.orderer.unknown()
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let products = self.lines.iter().map(|line| line.product_id);
        let parties = Parties::load(work, self.orderer, products).await?;
        let lines = self.lines.iter().enumerate().map(|(index, line)| {
            let offer = parties.offer(index, line.product_id)?;
            Ok(OrderLine::of(line.line_id, &offer, line.quantity))
        });
        let lines = lines.collect::<Result<_, CommandError>>()?;
        let content = Content { lines, shipping_address: self.shipping_address.as_ref() };
        place(work, self.order_id, &parties, content, None).await
    }
}

/// What an order is decided on.
pub(super) struct Parties {
    user: Loaded<User>,
    customer: Customer,
    orders: Loaded<UserOrders>,
    products: HashMap<Uuid, Loaded<Product>>,
}

impl Parties {
    /// Loads the user and the products of the lines at once.
    ///
    /// # Errors
    /// The user is unknown or deactivated. A product without events is not an error.
    pub(super) async fn load(
        work: &Work<'_>,
        orderer: Orderer,
        products: impl Iterator<Item = Uuid> + Send,
    ) -> Result<Self, CommandError> {
        let (user, products, orders) = join3(
            work.customer(orderer),
            work.catalogue(products),
            work.user_orders(orderer.user_id()),
        )
        .await;
        let (user, customer) = user?;
        Ok(Self { user, customer, orders: orders?, products: products? })
    }

    /// The offer for the product in the line at `index`.
    ///
    /// # Errors
    /// [`InvalidValue::UnknownProduct`].
    pub(super) fn offer(&self, index: usize, product_id: Uuid) -> Result<Offer, CommandError> {
        let at = ("lines", index, "product_id");
        match self.products.get(&product_id) {
            Some(product) => offer(product, at),
            None => Err(CommandError::invalid(at, InvalidValue::UnknownProduct)),
        }
    }
}

/// What a new order has.
pub(super) struct Content<'a> {
    /// The lines with their prices.
    pub(super) lines: Vec<OrderLine>,
    /// Where the order goes.
    pub(super) shipping_address: Option<&'a NewAddress>,
}

/// Places an order with priced lines, unless its user is deactivated before the append. An order
/// without a date of its own is counted on its user, in the same append.
///
/// The condition is only that the user is not deactivated. A user who is renamed in the meantime
/// does not delay the order.
pub(super) async fn place(
    work: &Work<'_>,
    order_id: NewId,
    parties: &Parties,
    content: Content<'_>,
    ordered_at: Option<DateTime<Utc>>,
) -> Result<Decision, CommandError> {
    let Parties { user, customer, orders, .. } = parties;
    let customer = *customer;
    let order = work.created::<Order>(order_id).await?;
    let order_id = order_id.get();
    let is_imported = ordered_at.is_some();
    let Content { lines, shipping_address } = content;
    let command = domain::order::PlaceOrder { order_id, customer, lines, ordered_at };
    let address = shipping_address.map(shipping_address::command);
    let commands = [OrderCommand::Place(command)].into_iter().chain(address);
    let events = order.decide(commands).map_err(|error| match error {
        OrderError::Total { line, reason } => CommandError::invalid(("lines", line), reason),
        error => error.into(),
    })?;
    let changes = work.changes(&order, &events)?.unless(DEACTIVATED, user)?;
    Ok(if is_imported {
        open_orders::unless_ended(orders, changes)?
    } else {
        open_orders::open(work, orders, order_id, changes)?
    }
    .into())
}
