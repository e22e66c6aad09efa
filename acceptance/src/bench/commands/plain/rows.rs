//! The statements of the plain handlers.

use serde::Deserialize;
use sqlx::PgPool;
use uuid::Uuid;

/// A line of an order.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    /// The product's id.
    pub(super) product_id: Uuid,
    /// The number of units.
    pub(super) quantity: i64,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// A field is invalid.
    #[error("{0} is not valid")]
    Invalid(&'static str),
    /// The state does not allow it.
    #[error("{0}")]
    Conflict(&'static str),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Inserts a user.
pub(super) async fn insert_user(
    pool: &PgPool,
    id: Uuid,
    email: &str,
    name: &str,
) -> Result<(), Refused> {
    let insert = sqlx::query("INSERT INTO users (id, email, name) VALUES ($1, lower($2), $3)");
    insert.bind(id).bind(email).bind(name).execute(pool).await?;
    Ok(())
}

/// Inserts a product.
pub(super) async fn insert_product(
    pool: &PgPool,
    id: Uuid,
    name: &str,
    unit_price: i64,
    currency: &str,
    stock: i64,
) -> Result<(), Refused> {
    let insert = sqlx::query(
        "INSERT INTO products (id, name, unit_price, currency, stock) VALUES ($1, $2, $3, $4, $5)",
    );
    insert.bind(id).bind(name).bind(unit_price).bind(currency).bind(stock).execute(pool).await?;
    Ok(())
}

/// Places an order at the current prices.
pub(super) async fn place(
    pool: &PgPool,
    id: Uuid,
    user: Uuid,
    lines: &[Line],
) -> Result<(), Refused> {
    let mut transaction = pool.begin().await?;
    let active: Option<bool> = sqlx::query_scalar("SELECT active FROM users WHERE id = $1")
        .bind(user)
        .fetch_optional(&mut *transaction)
        .await?;
    if active != Some(true) {
        return Err(Refused::Invalid("user_id"));
    }
    let ids: Vec<Uuid> = lines.iter().map(|line| line.product_id).collect();
    let products: Vec<(Uuid, String, i64, String)> =
        sqlx::query_as("SELECT id, name, unit_price, currency FROM products WHERE id = ANY ($1)")
            .bind(&ids)
            .fetch_all(&mut *transaction)
            .await?;
    let (mut names, mut prices, mut total) = (Vec::new(), Vec::new(), 0_i64);
    let currency = products.first().map(|product| product.3.clone()).unwrap_or_default();
    for line in lines {
        let product = products.iter().find(|product| product.0 == line.product_id);
        let (_, name, price, _) = product
            .filter(|product| product.3 == currency)
            .ok_or(Refused::Invalid("lines/product_id"))?;
        let amount = price.checked_mul(line.quantity).and_then(|all| total.checked_add(all));
        total = amount.ok_or(Refused::Invalid("lines"))?;
        names.push(name.clone());
        prices.push(*price);
    }
    sqlx::query(
        "INSERT INTO orders (id, user_id, status, total, currency)
         VALUES ($1, $2, 'pending', $3, $4)",
    )
    .bind(id)
    .bind(user)
    .bind(total)
    .bind(currency)
    .execute(&mut *transaction)
    .await?;
    let quantities: Vec<i64> = lines.iter().map(|line| line.quantity).collect();
    sqlx::query(
        "INSERT INTO order_lines (order_id, number, product_id, product_name, quantity, unit_price)
         SELECT $1, number, product_id, name, quantity, price
         FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[])
              WITH ORDINALITY AS line (product_id, name, quantity, price, number)",
    )
    .bind(id)
    .bind(ids)
    .bind(names)
    .bind(quantities)
    .bind(prices)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Confirms a pending order, and takes its units from the stock.
pub(super) async fn confirm(pool: &PgPool, id: Uuid) -> Result<(), Refused> {
    let mut transaction = pool.begin().await?;
    let status: Option<String> =
        sqlx::query_scalar("SELECT status FROM orders WHERE id = $1 FOR UPDATE")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
    if status.as_deref() != Some("pending") {
        return Err(Refused::Conflict("the order is not pending"));
    }
    let mut lines: Vec<(Uuid, i64)> =
        sqlx::query_as("SELECT product_id, quantity FROM order_lines WHERE order_id = $1")
            .bind(id)
            .fetch_all(&mut *transaction)
            .await?;
    // In a fixed sequence, so that two orders never wait for each other.
    lines.sort_unstable();
    for (product, quantity) in lines {
        let taken = sqlx::query(
            "UPDATE products SET stock = stock - $2, version = version + 1
             WHERE id = $1 AND stock >= $2",
        )
        .bind(product)
        .bind(quantity)
        .execute(&mut *transaction)
        .await?;
        if taken.rows_affected() == 0 {
            return Err(Refused::Conflict("there is not enough in stock"));
        }
    }
    sqlx::query(
        "UPDATE orders SET status = 'confirmed', version = version + 1, confirmed_at = now()
         WHERE id = $1",
    )
    .bind(id)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}
