-- Whether this owner may take the lease now; no row before its first use. An owner whose connection
-- is gone holds it no longer: the names of owners' connections end with their ids, so that none is
-- taken for another that got the same number later.
SELECT lease.expires_at <= clock_timestamp() OR lease.owner IS NOT DISTINCT FROM $2
       OR NOT EXISTS (SELECT FROM pg_stat_activity AS activity
                      WHERE activity.pid = lease.backend_pid
                          AND activity.application_name LIKE '%' || lease.owner) AS "free!"
FROM read_model.leases AS lease WHERE lease.name = $1
