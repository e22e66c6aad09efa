SELECT subject, master AS "master!", wrapped AS "wrapped!" FROM subject_keys.keys
    WHERE master <> $1 ORDER BY subject LIMIT $2
