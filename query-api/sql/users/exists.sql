SELECT EXISTS (SELECT FROM read_model.users WHERE id = $1) AS "exists!"
