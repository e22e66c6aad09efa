-- The milliseconds between two steps; 0 before the second one. They are rounded for each order, so
-- that sums do not depend on which orders are changed together.
CREATE FUNCTION order_funnel_ms(earlier timestamptz, later timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce((extract(epoch FROM later - earlier) * 1000)::bigint, 0);
$$;

-- Adds the changed orders to the sums of their days, or takes them off them.
CREATE FUNCTION order_funnel_sums() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    sign bigint := TG_ARGV[0];
BEGIN
    INSERT INTO order_funnel_days AS d
    SELECT (placed_at AT TIME ZONE 'UTC')::date, sign * count(*), sign * count(confirmed_at),
           sign * count(paid_at), sign * count(shipped_at), sign * count(delivered_at),
           sign * count(cancelled_at), sign * sum(order_funnel_ms(placed_at, confirmed_at)),
           sign * sum(order_funnel_ms(confirmed_at, paid_at)),
           sign * sum(order_funnel_ms(paid_at, shipped_at)),
           sign * sum(order_funnel_ms(shipped_at, delivered_at))
    FROM changed WHERE NOT is_import
    GROUP BY 1
    ON CONFLICT (day) DO UPDATE SET
        placed = d.placed + excluded.placed,
        confirmed = d.confirmed + excluded.confirmed,
        paid = d.paid + excluded.paid,
        shipped = d.shipped + excluded.shipped,
        delivered = d.delivered + excluded.delivered,
        cancelled = d.cancelled + excluded.cancelled,
        confirm_ms = d.confirm_ms + excluded.confirm_ms,
        pay_ms = d.pay_ms + excluded.pay_ms,
        ship_ms = d.ship_ms + excluded.ship_ms,
        deliver_ms = d.deliver_ms + excluded.deliver_ms;
    RETURN NULL;
END $$;

-- Postgres fires triggers of one event in the order of their names: the new rows are added before
-- the old ones are taken off.
CREATE TRIGGER order_funnel_added AFTER INSERT ON order_funnel
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION order_funnel_sums('1');
CREATE TRIGGER order_funnel_changed_1 AFTER UPDATE ON order_funnel
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION order_funnel_sums('1');
CREATE TRIGGER order_funnel_changed_2 AFTER UPDATE ON order_funnel
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION order_funnel_sums('-1');
