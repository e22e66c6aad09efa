-- Whether a row of the live generation that is shown, or one that is not there yet and may belong
-- to the list, lacks events.
SELECT EXISTS (
    SELECT FROM read_model.stale s
    JOIN read_model.generations g ON g.projection = s.projection AND g.generation = s.generation
    WHERE g.live AND s.projection = $1 AND (s.key = ANY($2) OR ($3 AND s.absent))
) AS "stale!"
