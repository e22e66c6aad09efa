-- One row per day (UTC) and currency. Everything about an order counts on the day of its sale, its
-- ordered_at. It runs once per generation, in that generation's schema. All amounts are in minor
-- units of the currency.
CREATE TABLE daily_sales (
    day           date NOT NULL,
    currency      text NOT NULL,
    orders        bigint NOT NULL,          -- confirmed, without those cancelled afterwards
    units         bigint NOT NULL,          -- of these orders
    revenue_minor bigint NOT NULL,          -- of these orders: gross
    paid_minor    bigint NOT NULL,          -- all payments, also for cancelled orders
    refunded_minor bigint NOT NULL,         -- of these orders; the net is the revenue less this
    paid_back_minor bigint NOT NULL,        -- all refunds, also of cancelled orders
    -- private: the orders of the day that were cancelled or refunded, by id:
    -- {"…": {"is_cancelled": true, "refunded_minor": 150}}
    returns       jsonb NOT NULL,
    position      bigint NOT NULL,          -- the last event that changed this row
    PRIMARY KEY (day, currency)
);

-- The past: the row after each event that changed it, with the event. It serves questions as of an
-- earlier moment, and timelines. The column returns is empty here.
CREATE TABLE daily_sales_history (
    LIKE daily_sales,
    event_id      uuid NOT NULL,
    event_type    text NOT NULL,
    event_version bigint NOT NULL,          -- the version of the event's stream
    event_at      timestamptz NOT NULL,     -- when it was appended
    event_by      text,                     -- who acted, as in audit
    PRIMARY KEY (day, currency, position)
);
