-- Whether this owner may take the lease now. There is no row before its first use. An owner whose
-- connection is gone no longer holds it. Owners' connections have names that end with their ids,
-- so no other connection with the same process id is mistaken for theirs.
SELECT lease.expires_at <= clock_timestamp() OR lease.owner IS NOT DISTINCT FROM $2
       OR NOT EXISTS (SELECT FROM pg_stat_activity AS activity
                      WHERE activity.pid = lease.backend_pid
                          AND activity.application_name LIKE '%' || lease.owner) AS "free!"
FROM webhooks.leases AS lease WHERE lease.name = $1
