//! Questions for the sales of products, per currency.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::list::{ListOf, Sorted, sorted};
use super::statement::Conditions;
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.product_sales_totals`.
    #[derive(Debug, Clone)]
    pub struct ProductSalesRow {
        /// The product's id.
        pub product_id: Uuid,
        /// The currency's code, such as `USD`.
        pub currency: String,
        /// Both as one text, which breaks ties.
        pub key: String,
        /// The number of confirmed orders that were not cancelled afterwards.
        pub orders: i64,
        /// The number of units in these orders.
        pub units: i64,
        /// The gross revenue of these orders, in minor units of the currency.
        pub revenue_minor: i64,
        /// The number of these orders that were refunded in whole.
        pub refunded_orders: i64,
        /// The number of units in the refunded ones.
        pub refunded_units: i64,
        /// What was refunded with them, in minor units of the currency.
        pub refunded_minor: i64,
    }
}

/// The sorts of the list. Product and currency break ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductSalesSort {
    /// Fewest units first.
    UnitsAsc,
    /// Most units first.
    UnitsDesc,
    /// Fewest orders first.
    OrdersAsc,
    /// Most orders first.
    OrdersDesc,
}

/// The statements of a list sorted by units.
const BY_UNITS: Sorted<ProductSalesRow, i64, String> = sorted!(
    ProductSalesRow in "product_sales": "product_sales_totals" [2], units: bigint, key: text
);
/// The statements of a list sorted by orders.
const BY_ORDERS: Sorted<ProductSalesRow, i64, String> = sorted!(
    ProductSalesRow in "product_sales": "product_sales_totals" [2], orders: bigint, key: text
);

/// The question for a page of the sales of products.
#[derive(Debug, Clone)]
pub struct ListProductSales {
    /// Only sales of this product.
    pub product_id: Option<Uuid>,
    /// Only sales in this currency.
    pub currency: Option<String>,
    /// The page to read, and its sort.
    pub page_request: PageRequest<ProductSalesSort>,
}

impl ProductSalesRow {
    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
    pub fn key(&self, sort: ProductSalesSort) -> Value {
        match sort {
            ProductSalesSort::UnitsAsc | ProductSalesSort::UnitsDesc => {
                json!([self.units, self.key])
            }
            ProductSalesSort::OrdersAsc | ProductSalesSort::OrdersDesc => {
                json!([self.orders, self.key])
            }
        }
    }
}

impl Read for ListProductSales {
    type Answer = Page<ProductSalesRow>;
    reads!("product_sales");

    fn shown(_: &Self::Answer) -> Shown {
        Shown::sums("product_sales")
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { product_id, currency, page_request } = self;
        let conditions = Conditions::default()
            .when(*product_id, " AND product_id = $1")?
            .when(currency.as_ref(), " AND currency = $2")?;
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request);
        match page_request.sort {
            ProductSalesSort::UnitsAsc => list.page(snapshot, &BY_UNITS.ascending).await,
            ProductSalesSort::UnitsDesc => list.page(snapshot, &BY_UNITS.descending).await,
            ProductSalesSort::OrdersAsc => list.page(snapshot, &BY_ORDERS.ascending).await,
            ProductSalesSort::OrdersDesc => list.page(snapshot, &BY_ORDERS.descending).await,
        }
    }
}
