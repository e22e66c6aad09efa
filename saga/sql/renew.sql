-- Shows that a driver is alive. A driver that was taken for dead registers again. Returns the time.
INSERT INTO saga.drivers (id, backend_pid, expires_at, sagas)
VALUES ($1, pg_backend_pid(), clock_timestamp() + make_interval(secs => $2), $3)
ON CONFLICT (id) DO UPDATE
SET backend_pid = excluded.backend_pid, expires_at = excluded.expires_at, sagas = excluded.sagas
RETURNING clock_timestamp() AS "now!"
