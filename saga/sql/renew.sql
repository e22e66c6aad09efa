-- Shows that a driver is alive. A driver that was taken for dead registers again.
INSERT INTO saga.drivers (id, backend_pid, expires_at)
VALUES ($1, pg_backend_pid(), clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (id) DO UPDATE
SET backend_pid = excluded.backend_pid, expires_at = excluded.expires_at
