-- The setting under which this server can lose what it has acknowledged, as a sentence; null when
-- there is none.
--
-- Every append asks: a reload can change each of these settings at any moment. A session takes new
-- values over between two calls and never within one, so what is asked under the lock still holds
-- at that call's commit.
--
-- A server whose events may be lost, as one that runs tests, says so in its own configuration:
-- event_store.may_lose_events = on. It may then run without fsync and full_page_writes.

CREATE FUNCTION event_store.unsafe_setting() RETURNS text
LANGUAGE sql STABLE  -- without a SET clause, so that it is taken into the statement that calls it
AS $$
    SELECT CASE
        WHEN pg_catalog.current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
            THEN 'synchronous_commit is ' || pg_catalog.current_setting('synchronous_commit')
                || ': a crash of the server loses acknowledged appends'
        WHEN pg_catalog.current_setting('fsync') = 'on'
            AND pg_catalog.current_setting('full_page_writes') = 'on' THEN NULL
        WHEN pg_catalog.current_setting('event_store.may_lose_events', true) = 'on' THEN NULL
        WHEN pg_catalog.current_setting('fsync') <> 'on'
            THEN 'fsync is off: a crash of the machine loses acknowledged appends'
        ELSE 'full_page_writes is off: a crash of the machine can damage the log'
    END
$$;
