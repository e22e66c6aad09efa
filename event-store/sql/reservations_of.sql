SELECT scope, hash, owner FROM event_store.claims WHERE substr(owner, strpos(owner, '-') + 1) = $1 ORDER BY scope, hash LIMIT $2
