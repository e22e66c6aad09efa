-- One row per day (UTC) and currency, with confirmed orders by ordered_at, without those that were
-- cancelled afterwards. It runs once per generation, in that generation's schema.
CREATE TABLE daily_sales (
    day           date NOT NULL,
    currency      text NOT NULL,
    orders        bigint NOT NULL,
    units         bigint NOT NULL,
    revenue_minor bigint NOT NULL,          -- minor units of currency
    paid_minor    bigint NOT NULL,          -- minor units of currency, for orders of the day
    refunded_minor bigint NOT NULL,         -- minor units of currency, for orders of the day
    position      bigint NOT NULL,          -- the last event that changed this row
    PRIMARY KEY (day, currency)
);
