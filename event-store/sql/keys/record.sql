UPDATE subject_keys.erasures SET position = $2, event_id = $3,
    reservations_released = reservations_released + $4 WHERE subject = $1
