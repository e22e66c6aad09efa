-- Returns, as a sentence, the setting with which this server can lose acknowledged events; null if
-- there is none.
--
-- Every append checks, because a reload can change these settings at any moment. A session takes
-- new values only between two calls. So the answer under the lock still holds at that call's
-- commit.
--
-- A server whose events may be lost, such as a test server, has event_store.may_lose_events = on in
-- its configuration. It may then run without fsync and full_page_writes.

CREATE FUNCTION event_store.unsafe_setting() RETURNS text
LANGUAGE sql STABLE  -- no SET clause, so that the caller can inline it
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
