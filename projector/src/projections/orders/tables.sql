-- One row per order, with its lines. It runs once per generation, in that generation's schema.
CREATE TABLE orders (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL,
    -- pending | confirmed | paid | shipped | delivered | cancelled | refunded
    status       text NOT NULL,
    currency     text NOT NULL,
    -- minor units of currency: all lines, less the discount, plus a tax that they do not contain
    total_minor  bigint NOT NULL,
    discount_minor bigint NOT NULL,         -- minor units of currency, fixed at confirmation
    tax_minor    bigint NOT NULL,           -- minor units of currency, in or on top of the lines
    shipping_country text,                  -- where it goes: a code of ISO 3166-1 …
    shipping_region  text,                  -- … and the second part of one of ISO 3166-2
    units        bigint NOT NULL,           -- all lines
    paid_minor   bigint NOT NULL,           -- minor units of currency
    refunded_minor bigint NOT NULL,         -- minor units of currency, of what was paid
    -- [{"line_id", "product_id", "product_name", "quantity", "unit_price_minor"}] in the order
    -- added
    lines        jsonb NOT NULL,
    -- for an import, its historical date from the start; otherwise the confirmation's time
    ordered_at   timestamptz,
    confirmed_at timestamptz,
    payment_requested_at timestamptz,
    paid_at      timestamptz,
    shipped_at   timestamptz,
    delivered_at timestamptz,
    cancelled_at timestamptz,
    -- why it was cancelled: a word of the domain; null for orders that were cancelled by version 1
    cancel_reason text,
    cancel_products jsonb NOT NULL,         -- the ids of the products that the reason is about
    refunded_at  timestamptz,               -- the latest refund
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    version      bigint NOT NULL,           -- the version of the order's stream
    position     bigint NOT NULL            -- the last event that changed this row
);

-- The past: the row after each event that changed it, with the event. It serves questions as of an
-- earlier moment, and timelines.
CREATE TABLE orders_history (
    LIKE orders,
    event_id      uuid NOT NULL,
    event_type    text NOT NULL,
    event_version bigint NOT NULL,          -- the version of the event's stream
    event_at      timestamptz NOT NULL,     -- when it was appended
    event_by      text,                     -- who acted, as in audit
    PRIMARY KEY (id, position)
);
