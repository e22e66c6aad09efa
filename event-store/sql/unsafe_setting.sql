SELECT event_store.unsafe_setting() AS "unsafe_setting?"
