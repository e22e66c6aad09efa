-- One row per order. It runs once per generation, in that generation's schema.
CREATE TABLE product_sales (
    id       uuid PRIMARY KEY,              -- the order's id
    status   text NOT NULL,                 -- open | sold | cancelled | refunded (in whole)
    currency text NOT NULL,
    -- [{"line_id", "product_id", "units", "amount_minor"}], in minor units, after discounts
    lines    jsonb NOT NULL,
    position bigint NOT NULL                -- the last event that changed this row
);

-- One row per product and currency, with its orders that are sold or refunded in whole. A product
-- without any has none.
CREATE TABLE product_sales_totals (
    product_id      uuid NOT NULL,
    currency        text NOT NULL,
    -- both as one text, which breaks ties
    key             text NOT NULL GENERATED ALWAYS AS (product_id::text || '/' || currency) STORED,
    orders          bigint NOT NULL,        -- with the refunded ones
    units           bigint NOT NULL,        -- of these orders
    revenue_minor   bigint NOT NULL,        -- of these orders: gross, minor units of currency
    refunded_orders bigint NOT NULL,        -- those refunded in whole
    refunded_units  bigint NOT NULL,
    refunded_minor  bigint NOT NULL         -- minor units of currency
);
-- An index, because constraints are set aside while a generation is loaded. It also serves
-- GET /sales/products?product_id=…
CREATE UNIQUE INDEX product_sales_totals_key ON product_sales_totals (product_id, currency);
