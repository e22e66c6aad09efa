-- One row per order. It runs once per generation, in that generation's schema. All times are those
-- at which the events were recorded.
CREATE TABLE order_funnel (
    id           uuid PRIMARY KEY,
    is_import    boolean NOT NULL,          -- whether it took its steps in another system
    placed_at    timestamptz NOT NULL,
    confirmed_at timestamptz,
    paid_at      timestamptz,
    shipped_at   timestamptz,
    delivered_at timestamptz,
    cancelled_at timestamptz,
    position     bigint NOT NULL            -- the last event that changed this row
);

-- One row per day (UTC) on which orders were placed: how many of them took each step so far, and
-- the milliseconds between the step before and this one, over all that took it.
CREATE TABLE order_funnel_days (
    day          date NOT NULL,
    placed       bigint NOT NULL,
    confirmed    bigint NOT NULL,
    paid         bigint NOT NULL,
    shipped      bigint NOT NULL,
    delivered    bigint NOT NULL,
    cancelled    bigint NOT NULL,           -- after whichever step
    confirm_ms   bigint NOT NULL,
    pay_ms       bigint NOT NULL,
    ship_ms      bigint NOT NULL,
    deliver_ms   bigint NOT NULL
);
-- An index, because constraints are set aside while a generation is loaded. It also serves
-- GET /sales/funnel.
CREATE UNIQUE INDEX order_funnel_days_day ON order_funnel_days (day);
