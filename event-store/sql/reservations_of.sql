SELECT scope, hash, owner FROM event_store.reservations WHERE substr(owner, strpos(owner,
    '-') + 1) = $1 ORDER BY scope, hash LIMIT $2
