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
