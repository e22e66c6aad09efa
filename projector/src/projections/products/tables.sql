-- One row per product. It runs once per generation, in that generation's schema.
CREATE TABLE products (
    id               uuid PRIMARY KEY,
    name             text NOT NULL,
    currency         text NOT NULL,
    unit_price_minor bigint NOT NULL,       -- minor units of currency
    rate_class       text NOT NULL,         -- standard | reduced | zero
    stock            bigint NOT NULL,       -- units on hand
    reserved         bigint NOT NULL,       -- units of the stock that are reserved for orders
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    version          bigint NOT NULL,       -- the version of the product's stream
    position         bigint NOT NULL        -- the last event that changed this row
);
