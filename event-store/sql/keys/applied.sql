SELECT position, event_id FROM subject_keys.applied
