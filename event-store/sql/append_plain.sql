CALL event_store.append_plain(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL
)
