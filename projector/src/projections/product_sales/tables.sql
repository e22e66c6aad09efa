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

-- Adds what the changed orders sell to the sums of their products, or takes it off them.
CREATE FUNCTION product_sales_sums() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    sign bigint := TG_ARGV[0];
BEGIN
    INSERT INTO product_sales_totals AS t (product_id, currency, orders, units, revenue_minor,
        refunded_orders, refunded_units, refunded_minor)
    SELECT product_id, currency, sign * count(*), sign * sum(units), sign * sum(amount_minor),
           sign * count(*) FILTER (WHERE is_refunded),
           sign * coalesce(sum(units) FILTER (WHERE is_refunded), 0),
           sign * coalesce(sum(amount_minor) FILTER (WHERE is_refunded), 0)
    FROM (
        SELECT l.product_id, c.currency, c.status = 'refunded' AS is_refunded,
               sum(l.units) AS units, sum(l.amount_minor) AS amount_minor
        FROM changed AS c
        CROSS JOIN jsonb_to_recordset(c.lines) AS l (product_id uuid, units bigint,
            amount_minor bigint)
        WHERE c.status IN ('sold', 'refunded')
        GROUP BY c.id, c.currency, c.status, l.product_id) AS sold
    GROUP BY product_id, currency
    ON CONFLICT (product_id, currency) DO UPDATE SET
        orders = t.orders + excluded.orders,
        units = t.units + excluded.units,
        revenue_minor = t.revenue_minor + excluded.revenue_minor,
        refunded_orders = t.refunded_orders + excluded.refunded_orders,
        refunded_units = t.refunded_units + excluded.refunded_units,
        refunded_minor = t.refunded_minor + excluded.refunded_minor;
    IF sign < 0 THEN
        DELETE FROM product_sales_totals AS t
        USING changed AS c
        CROSS JOIN jsonb_to_recordset(c.lines) AS l (product_id uuid)
        WHERE t.product_id = l.product_id AND t.currency = c.currency AND t.orders = 0;
    END IF;
    RETURN NULL;
END $$;

-- Postgres fires triggers of one event in the order of their names: the new rows are added before
-- the old ones are taken off.
CREATE TRIGGER product_sales_added AFTER INSERT ON product_sales
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION product_sales_sums('1');
CREATE TRIGGER product_sales_changed_1 AFTER UPDATE ON product_sales
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION product_sales_sums('1');
CREATE TRIGGER product_sales_changed_2 AFTER UPDATE ON product_sales
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION product_sales_sums('-1');
