-- One row a day (UTC) and currency, of confirmed orders by ordered_at. Runs once per generation, in
-- that generation's own schema.
CREATE TABLE daily_sales (
    day           date NOT NULL,
    currency      text NOT NULL,
    orders        bigint NOT NULL,
    units         bigint NOT NULL,
    revenue_minor bigint NOT NULL,          -- minor units of currency
    position      bigint NOT NULL,          -- of the last event that changed this row
    PRIMARY KEY (day, currency)
);
