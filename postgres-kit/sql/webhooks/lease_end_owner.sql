-- Ends the backend of an owner whose lease has expired: a frozen one may hold row locks, even on
-- the lease's own row. An owner that takes its own lease again after losing its connection ends
-- what is left of that connection. Only a connection of that owner is ended, one whose name ends
-- with the owner's id. Waits for the end, at most for that many milliseconds.
SELECT pg_terminate_backend(activity.pid, $3::bigint) AS "ended!"
FROM webhooks.leases AS lease
JOIN pg_stat_activity AS activity ON activity.pid = lease.backend_pid
    AND activity.application_name LIKE '%' || lease.owner
WHERE lease.name = $1 AND (lease.expires_at <= clock_timestamp() OR lease.owner = $2)
  AND activity.pid <> pg_backend_pid() AND activity.usename = session_user
      AND activity.datname = current_database()
