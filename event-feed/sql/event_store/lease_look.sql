-- Whether anybody may take the lease now; no row before its first use.
SELECT expires_at <= clock_timestamp() AS "free!" FROM event_store.leases WHERE name = $1
