-- Creates the lease's row, held by nobody.
INSERT INTO read_model.leases (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
