-- Creates the lease's row, held by nobody.
INSERT INTO event_store.leases (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
