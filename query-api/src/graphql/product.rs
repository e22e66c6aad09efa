//! Products with price and stock.

use std::sync::Arc;

use access::Permission;
use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use graphql_kit::{AtOnce, Prompt};
use serde::Serialize;
use serde_json::Value;
use service_kit::input::Id;

use super::asking::{Answer, Asking};
use super::connection::{Connection, Listed, Wanted};
use super::load::ProductKey;
use super::money::{Money, money};
use super::scalar::Timestamp;
use crate::read::product::{ListProducts, ProductRow, ProductSort};

/// A product.
pub(super) struct Product(pub(super) Arc<ProductRow>);

/// The sorts of a list of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[graphql(name = "ProductSort", remote = "ProductSort")]
pub(super) enum SortProducts {
    /// By creation, oldest first.
    CreatedAtAsc,
    /// By creation, newest first.
    CreatedAtDesc,
    /// By name, A first.
    NameAsc,
    /// By name, Z first.
    NameDesc,
}

/// Which products a list has.
#[derive(Debug, Default, Serialize, InputObject)]
pub(super) struct ProductFilter {
    /// Only products with exactly this name.
    pub(super) name: Option<String>,
}

#[derive(Default)]
pub(super) struct ProductQuery;

#[Object]
impl ProductQuery {
    /// One product; null if there is none with this id.
    async fn product(&self, ctx: &Context<'_>, id: ID) -> Answer<Product> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            asking.everything(Permission::ProductsRead)?;
            find(asking, &id).await
        };
        answer.await.transpose()
    }

    /// All products.
    async fn products(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The maximum number of products: 1 to 100. The default is 20.")]
        first: Option<i32>,
        #[graphql(desc = "The cursor that the page starts after.")] after: Option<String>,
        filter: Option<ProductFilter>,
        #[graphql(default_with = "SortProducts::CreatedAtDesc")] sort: SortProducts,
    ) -> Answer<AtOnce<Connection<Product>>> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            asking.everything(Permission::ProductsRead)?;
            let filter = filter.unwrap_or_default();
            let list = ("products", &(&filter, sort));
            let wanted = Wanted::read(asking, list, sort.into(), (first, after.as_deref()))?;
            let page_request = wanted.request.clone();
            let page = asking.ask(ListProducts { name: filter.name, page_request }).await?;
            Ok(Some(wanted.connection(page, |row| Product(Arc::new(row)))))
        };
        answer.await.transpose()
    }

    #[graphql(entity)]
    async fn product_of_gateway(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Product>> {
        let asking = ctx.data::<Asking>()?;
        asking.entity(ctx, asking.everything(Permission::ProductsRead), find(asking, &id)).await
    }
}

/// Finds a product by id. A text that is no id is that of none.
async fn find(asking: &Asking, id: &ID) -> Result<Option<Product>> {
    let Ok(id) = id.parse::<Id>() else { return Ok(None) };
    Ok(asking.load(ProductKey(id.get())).await?.map(Product))
}

impl Listed for Product {
    type Sort = ProductSort;

    fn key(&self, sort: ProductSort) -> Value {
        self.0.key(sort)
    }
}

impl Prompt for Product {}

/// A product.
#[Object]
impl Product {
    /// The id: a UUID.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// The product's name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The price of one unit.
    async fn unit_price(&self) -> Money {
        money(self.0.unit_price_minor, &self.0.currency)
    }

    /// The rate class, which taxes depend on: `standard`, `reduced` or `zero`.
    async fn rate_class(&self) -> &str {
        &self.0.rate_class
    }

    /// The number of units on hand, with the reserved ones.
    async fn stock(&self) -> i64 {
        self.0.stock
    }

    /// The number of units on hand that are reserved for confirmed orders.
    async fn reserved(&self) -> i64 {
        self.0.reserved
    }

    /// The number of units that can be ordered: those on hand that are not reserved.
    async fn available(&self) -> i64 {
        self.0.stock.saturating_sub(self.0.reserved)
    }

    /// The time when the product was added.
    async fn created_at(&self) -> Timestamp {
        Timestamp(self.0.created_at)
    }

    /// The time of the latest change.
    async fn updated_at(&self) -> Timestamp {
        Timestamp(self.0.updated_at)
    }

    /// The version of the product. Each change raises it.
    async fn version(&self) -> i64 {
        self.0.version
    }
}
