-- Creates the lease's row, held by nobody.
INSERT INTO saga.leases (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
