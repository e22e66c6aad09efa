SELECT
    event_store.unsafe_setting() AS "unsafe_setting?",
    current_setting('fsync') = 'on' AS "fsync!",
    current_setting('full_page_writes') = 'on' AS "full_page_writes!",
    current_setting('data_checksums') = 'on' AS "data_checksums!",
    current_setting('transaction_isolation') AS "isolation!",
    pg_is_in_recovery() AS "in_recovery!"
