-- One row a product. Runs once per generation, in that generation's own schema.
CREATE TABLE products (
    id               uuid PRIMARY KEY,
    name             text NOT NULL,
    currency         text NOT NULL,
    unit_price_minor bigint NOT NULL,       -- minor units of currency
    stock            bigint NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    version          bigint NOT NULL,       -- of the product's own stream
    position         bigint NOT NULL        -- of the last event that changed this row
);
