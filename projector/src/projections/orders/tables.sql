-- One row per order, with its lines. It runs once per generation, in that generation's schema.
CREATE TABLE orders (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL,
    status       text NOT NULL,             -- pending | confirmed | cancelled
    currency     text NOT NULL,
    total_minor  bigint NOT NULL,           -- minor units of currency, all lines
    units        bigint NOT NULL,           -- all lines
    -- [{"line_id", "product_id", "product_name", "quantity", "unit_price_minor"}] in the order
    -- added
    lines        jsonb NOT NULL,
    -- for an import, its historical date from the start; otherwise the confirmation's time
    ordered_at   timestamptz,
    confirmed_at timestamptz,
    cancelled_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    version      bigint NOT NULL,           -- the version of the order's stream
    position     bigint NOT NULL            -- the last event that changed this row
);
