-- The stack's additions to the migrations' grants: only the processes' roles may connect, and only
-- four of them to the keys.
REVOKE ALL ON DATABASE daybook FROM PUBLIC;
GRANT CONNECT ON DATABASE daybook TO command_api, event_relay, projector, query_api,
    process_manager, webhooks;
REVOKE ALL ON DATABASE daybook_keys FROM PUBLIC;
GRANT CONNECT ON DATABASE daybook_keys TO command_api, projector, process_manager,
    webhooks;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
