UPDATE subject_keys.applied SET position = $1, event_id = $2
