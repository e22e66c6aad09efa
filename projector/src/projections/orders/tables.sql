-- One row an order, with its lines. Runs once per generation, in that generation's own schema.
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
    -- an import's date from the first, else the confirmation's
    ordered_at   timestamptz,
    confirmed_at timestamptz,
    cancelled_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    version      bigint NOT NULL,           -- of the order's own stream
    position     bigint NOT NULL            -- of the last event that changed this row
);
