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

-- The past: the row after each event that changed it, with the event. It serves questions as of an
-- earlier moment, and timelines.
CREATE TABLE products_history (
    LIKE products,
    event_id      uuid NOT NULL,
    event_type    text NOT NULL,
    event_version bigint NOT NULL,          -- the version of the event's stream
    event_at      timestamptz NOT NULL,     -- when it was appended
    event_by      text,                     -- who acted, as in audit
    PRIMARY KEY (id, position)
);
