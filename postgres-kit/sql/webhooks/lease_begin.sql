-- Creates the lease's row, held by nobody.
INSERT INTO webhooks.leases (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
