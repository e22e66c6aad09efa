SELECT pg_notify('event_store_appended', '')
