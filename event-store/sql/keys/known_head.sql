SELECT epoch, position, event_id FROM subject_keys.known_head
