-- One row per user. It runs once per generation, in that generation's schema.
CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text,                     -- personal: null once erased
    name          text,                     -- personal: null once erased
    status        text NOT NULL,            -- active | deactivated
    order_count   bigint NOT NULL,          -- confirmed orders
    -- of confirmed orders: {"USD": 8715}, minor units by currency
    total_spent   jsonb NOT NULL,
    last_order_at timestamptz,              -- the latest ordered_at of a confirmed order
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    version       bigint NOT NULL,          -- the version of the user's stream
    position      bigint NOT NULL           -- the last event that changed this row
);
