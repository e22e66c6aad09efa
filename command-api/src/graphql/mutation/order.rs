//! The mutations of orders.

use async_graphql::{Context, ID, InputObject, Object};
use uuid::Uuid;

use crate::application::Input;
use crate::application::use_case::{
    AddOrderLineInput, AddressInput, CancelOrder, ConfirmOrder, LineInput, Orderer,
    PlaceOrderInput, RemoveOrderLine, RequestPayment, SetShippingAddressInput,
};
use crate::graphql::command::{Answer, Arguments, Options, run_on};
use crate::graphql::payload::OrderPayload;

/// An order to place.
#[derive(InputObject)]
struct PlaceOrder {
    /// The id of the new order: a UUID of version 7. Without it, the server makes one.
    id: Option<ID>,
    /// The id of the user who orders.
    user_id: ID,
    /// The lines: 1 to 100, at the current prices of the products.
    lines: Vec<OrderLine>,
    /// Where the order goes. Taxes depend on its country and region.
    shipping_address: Option<ShippingAddress>,
}

/// Where an order goes.
#[derive(InputObject)]
struct ShippingAddress {
    /// The person or company that receives.
    recipient: String,
    /// The street, with the number.
    street: String,
    /// The city.
    city: String,
    /// The postal code.
    postal_code: Option<String>,
    /// The country, a code of two letters (ISO 3166-1).
    country: String,
    /// The region within the country (ISO 3166-2, without the country).
    region: Option<String>,
}

impl ShippingAddress {
    fn input(self) -> AddressInput {
        let Self { recipient, street, city, postal_code, country, region } = self;
        AddressInput { label: None, recipient, street, city, postal_code, country, region }
    }
}

/// A line of an order.
#[derive(InputObject)]
struct OrderLine {
    /// The product's id.
    product_id: ID,
    /// The number of units, from 1.
    quantity: i64,
}

impl OrderLine {
    fn read(&self, given: &mut Arguments, at: &str) -> LineInput {
        let product_id = given.read(format!("{at}/product_id"), &self.product_id);
        LineInput { product_id, quantity: self.quantity }
    }
}

/// Runs a command on an order.
pub(super) async fn on_order<I: Input>(
    ctx: &Context<'_>,
    order_id: &ID,
    input: impl FnOnce(Uuid) -> I,
    options: Options,
) -> Answer<OrderPayload> {
    run_on(ctx, ("/order_id", order_id), input, options).await
}

#[derive(Default)]
pub(super) struct OrderMutation;

#[Object]
impl OrderMutation {
    /// Places an order. It is pending until it is confirmed or cancelled.
    async fn place_order(
        &self,
        ctx: &Context<'_>,
        input: PlaceOrder,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let mut given = Arguments::default();
        let id = given.read_new(input.id.as_ref());
        let orderer = Orderer::Named(given.read("/input/user_id", &input.user_id));
        let lines = input.lines.iter().enumerate();
        let lines =
            lines.map(|(at, line)| line.read(&mut given, &format!("/input/lines/{at}"))).collect();
        let options = Options { expected_version: None, idempotency_key, dry_run };
        let shipping_address = input.shipping_address.map(ShippingAddress::input);
        let input = PlaceOrderInput { id, orderer, lines, shipping_address };
        given.run(ctx, input, options).await
    }

    /// Sets or replaces the shipping address of a pending order.
    async fn set_shipping_address(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        input: ShippingAddress,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |order_id| SetShippingAddressInput { order_id, address: input.input() };
        on_order(ctx, &order_id, input, options).await
    }

    /// Adds a line to a pending order, at the current price of the product.
    async fn add_order_line(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        input: OrderLine,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let mut given = Arguments::default();
        let order_id = given.read("/order_id", &order_id);
        let input = AddOrderLineInput { order_id, line: input.read(&mut given, "/input") };
        given.run(ctx, input, Options { expected_version, idempotency_key, dry_run }).await
    }

    /// Removes a line from a pending order.
    async fn remove_order_line(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        line_id: ID,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let mut given = Arguments::default();
        let input = RemoveOrderLine {
            order_id: given.read("/order_id", &order_id),
            line_id: given.read("/line_id", &line_id),
        };
        given.run(ctx, input, Options { expected_version, idempotency_key, dry_run }).await
    }

    /// Confirms a pending order. It counts as a sale from then on.
    async fn confirm_order(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        on_order(ctx, &order_id, |order_id| ConfirmOrder { order_id }, options).await
    }

    /// Asks to pay a confirmed order. The money is recorded when it has come.
    async fn request_payment(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        on_order(ctx, &order_id, |order_id| RequestPayment { order_id }, options).await
    }

    /// Cancels an order.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        on_order(ctx, &order_id, CancelOrder::asked, options).await
    }
}
