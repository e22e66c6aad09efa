-- Roles and their rights. Roles belong to the whole cluster, so they may exist already, or another
-- database's migration may be creating them now.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['event_store_appender', 'event_store_reader',
        'event_store_relay'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- exists already
        END;
    END LOOP;
END
$$;

REVOKE ALL ON SCHEMA event_store FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA event_store FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA event_store FROM PUBLIC;

GRANT USAGE ON SCHEMA event_store TO event_store_appender, event_store_reader, event_store_relay;
GRANT SELECT ON ALL TABLES IN SCHEMA event_store TO event_store_appender, event_store_reader,
    event_store_relay;
GRANT EXECUTE ON FUNCTION event_store.unsafe_setting TO event_store_appender, event_store_reader,
    event_store_relay;
GRANT EXECUTE ON FUNCTION event_store.append_batch, event_store.append_plain_batch,
    event_store.digest_log TO event_store_appender;
GRANT EXECUTE ON PROCEDURE event_store.append, event_store.append_plain TO event_store_appender;
-- Only the owner may call event_store.begin_epoch, because ending a history is a person's decision.
-- The appender may do so for a recorded operation, which names that person.
GRANT EXECUTE ON FUNCTION event_store.begin_epoch_by_operation TO event_store_appender;
GRANT INSERT (id, kind, target, arguments, requested_by, requested_with, reason),
    UPDATE (state, work, attempts, started_at, heartbeat_at, irrevocable, cancel_wanted,
        cancelled_by, cancelled_with, result, error, finished_at)
    ON event_store.operations TO event_store_appender;
-- People's names and reasons are not for the other readers of the log.
REVOKE SELECT ON event_store.operations FROM event_store_reader, event_store_relay;
GRANT INSERT, UPDATE ON event_store.leases, event_store.relay_cursors TO event_store_relay;
GRANT INSERT, UPDATE, DELETE ON event_store.snapshots TO event_store_appender;
