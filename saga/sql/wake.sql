-- Has a driver look at an instance now.
INSERT INTO saga.work AS work (id, saga, due_at, moved_at) VALUES ($1, $2, $3, $3)
ON CONFLICT (id) DO UPDATE SET due_at = $3, news = work.news + 1
