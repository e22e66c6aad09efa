-- One row per user. It runs once per generation, in that generation's schema.
CREATE TABLE customers_at_risk (
    id             uuid PRIMARY KEY,        -- the user's id
    is_active      boolean NOT NULL,        -- whether the user can order
    -- confirmed orders, without those that were cancelled afterwards
    order_count    bigint NOT NULL,
    -- of these orders, gross: {"USD": 8715}, minor units by currency
    total_spent    jsonb NOT NULL,
    total_refunded jsonb NOT NULL,          -- of these orders, in the same form
    sales          bigint NOT NULL,         -- private: confirmed orders, also cancelled ones
    -- private: the orders that were cancelled or refunded, by id
    returns        jsonb NOT NULL,
    -- the first and the latest ordered_at of an order that was confirmed, also if it was cancelled
    -- afterwards; null before the first sale
    first_order_at timestamptz,
    last_order_at  timestamptz,
    due_at         timestamptz,             -- when the next sale would be usual
    position       bigint NOT NULL          -- the last event that changed this row
);
