-- Serves GET /customers/at-risk.
CREATE INDEX customers_at_risk_due_at ON customers_at_risk (due_at, id)
WHERE is_active AND due_at IS NOT NULL;
