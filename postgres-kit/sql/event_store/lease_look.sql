-- Whether this owner may take the lease now. There is no row before its first use.
SELECT expires_at <= clock_timestamp() OR owner IS NOT DISTINCT FROM $2 AS "free!"
    FROM event_store.leases WHERE name = $1
