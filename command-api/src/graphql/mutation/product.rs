//! The mutations of products.

use async_graphql::{Context, ID, InputObject, Object};

use crate::application::input::EmptyChange;
use crate::application::use_case::{
    AddProductInput, AdjustStock, ChangeProductInput, ClassifyProductInput, MoveStockInput,
    ReceiveStockInput,
};
use crate::graphql::command::{Answer, Arguments, Options, run_on};
use crate::graphql::payload::ProductPayload;

/// A product to add.
#[derive(InputObject)]
struct AddProduct {
    /// The id of the new product: a UUID of version 7. Without it, the server makes one.
    id: Option<ID>,
    /// The name: 1 to 200 characters.
    name: String,
    /// The price of one unit, as a decimal string such as `19.90`.
    unit_price: String,
    /// The currency of the price (ISO 4217).
    currency: String,
    /// The initial stock, in units.
    #[graphql(default)]
    stock: i64,
}

/// The changes to a product. A field that is absent stays as it is.
#[derive(InputObject)]
struct UpdateProduct {
    /// The new name.
    name: Option<String>,
    /// The new price of one unit, as a decimal string.
    unit_price: Option<String>,
    /// The currency of the new price.
    currency: Option<String>,
}

#[derive(Default)]
pub(super) struct ProductMutation;

#[Object]
impl ProductMutation {
    /// Adds a product.
    async fn add_product(
        &self,
        ctx: &Context<'_>,
        input: AddProduct,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<ProductPayload> {
        let mut given = Arguments::default();
        let AddProduct { id, name, unit_price, currency, stock } = input;
        let id = given.read_new(id.as_ref());
        let input = AddProductInput { id, name, unit_price, currency, stock };
        given.run(ctx, input, Options { expected_version: None, idempotency_key, dry_run }).await
    }

    /// Changes the name, the price, or both.
    async fn update_product(
        &self,
        ctx: &Context<'_>,
        id: ID,
        input: UpdateProduct,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<ProductPayload> {
        let UpdateProduct { name, unit_price, currency } = input;
        let options = Options { expected_version, idempotency_key, dry_run };
        let empty = EmptyChange::Refused;
        let input =
            |product_id| ChangeProductInput { product_id, name, unit_price, currency, empty };
        run_on(ctx, ("/id", &id), input, options).await
    }

    /// Says which rate class the product has: `standard`, `reduced` or `zero`. Taxes depend on it.
    async fn classify_product(
        &self,
        ctx: &Context<'_>,
        id: ID,
        rate_class: String,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<ProductPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |product_id| ClassifyProductInput { product_id, rate_class };
        run_on(ctx, ("/id", &id), input, options).await
    }

    /// Changes the stock by a number of units, which may be negative.
    async fn adjust_stock(
        &self,
        ctx: &Context<'_>,
        id: ID,
        delta: i64,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<ProductPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        run_on(ctx, ("/id", &id), |product_id| AdjustStock { product_id, delta }, options).await
    }

    /// Adds units that arrived, from 1.
    async fn receive_stock(
        &self,
        ctx: &Context<'_>,
        id: ID,
        quantity: i64,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<ProductPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |product_id| ReceiveStockInput { product_id, quantity };
        run_on(ctx, ("/id", &id), input, options).await
    }

    /// Moves units, from 1, to another product. Both change together.
    #[allow(clippy::too_many_arguments, reason = "they are the arguments of the mutation")]
    async fn move_stock(
        &self,
        ctx: &Context<'_>,
        id: ID,
        to_product_id: ID,
        quantity: i64,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<ProductPayload> {
        let mut given = Arguments::default();
        let input = MoveStockInput {
            product_id: given.read("/id", &id),
            to_product_id: given.read("/to_product_id", &to_product_id),
            quantity,
        };
        given.run(ctx, input, Options { expected_version, idempotency_key, dry_run }).await
    }
}
