-- Serves GET /sales/products sorted by units.
CREATE INDEX product_sales_totals_units ON product_sales_totals (units, key);
-- Serves GET /sales/products sorted by orders.
CREATE INDEX product_sales_totals_orders ON product_sales_totals (orders, key);
