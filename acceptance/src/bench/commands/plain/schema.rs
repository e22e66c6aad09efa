//! The tables of the plain handlers.

use sqlx::PgPool;

/// Creates them in an empty database.
pub(super) async fn create(pool: &PgPool) -> sqlx::Result<()> {
    let tables = "
        CREATE TABLE users (
            id uuid PRIMARY KEY, email text NOT NULL UNIQUE, name text NOT NULL,
            active boolean NOT NULL DEFAULT true, created_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE products (
            id uuid PRIMARY KEY, name text NOT NULL, unit_price bigint NOT NULL,
            currency text NOT NULL, stock bigint NOT NULL CHECK (stock >= 0),
            version bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE orders (
            id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users, status text NOT NULL,
            total bigint NOT NULL, currency text NOT NULL, version bigint NOT NULL DEFAULT 1,
            placed_at timestamptz NOT NULL DEFAULT now(), confirmed_at timestamptz
        );
        CREATE INDEX orders_of_user ON orders (user_id, placed_at);
        CREATE TABLE order_lines (
            order_id uuid NOT NULL REFERENCES orders, number integer NOT NULL,
            product_id uuid NOT NULL REFERENCES products, product_name text NOT NULL,
            quantity bigint NOT NULL, unit_price bigint NOT NULL,
            PRIMARY KEY (order_id, number)
        );";
    sqlx::raw_sql(tables).execute(pool).await?;
    Ok(())
}
