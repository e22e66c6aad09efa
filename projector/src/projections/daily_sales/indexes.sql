-- The primary key serves GET /sales/daily.
-- Serves GET /sales/daily?as_of=TIME.
CREATE INDEX daily_sales_history_at ON daily_sales_history (day, currency, event_at, position);
