CREATE TABLE reference.orders AS
WITH added AS (
    SELECT e.stream, e.version, l.place, l.line
    FROM event_store.events AS e
    CROSS JOIN json_array_elements(e.data -> 'lines') WITH ORDINALITY AS l (line, place)
    WHERE e.event_type = 'order.placed'
    UNION ALL
    SELECT stream, version, 0, data -> 'line' FROM event_store.events
        WHERE event_type = 'order.line_added'
), removed AS (
    SELECT stream, data ->> 'line_id' AS line_id FROM event_store.events
        WHERE event_type = 'order.line_removed'
), lines AS (
    SELECT a.stream, sum((a.line ->> 'quantity')::bigint)::bigint AS units,
           jsonb_agg(jsonb_build_object(
               'line_id', a.line ->> 'line_id',
               'product_id', a.line ->> 'product_id',
               'product_name', a.line ->> 'product_name',
               'quantity', (a.line ->> 'quantity')::bigint,
               'unit_price_minor', (a.line #>> '{unit_price,minor}')::bigint
           ) ORDER BY a.version, a.place) AS lines
    FROM added AS a
    WHERE NOT EXISTS (SELECT FROM removed AS r WHERE r.stream = a.stream
        AND r.line_id = a.line ->> 'line_id')
    GROUP BY a.stream
), histories AS (
    SELECT stream,
           max(data ->> 'user_id') FILTER (WHERE event_type = 'order.placed') AS user_id,
           (array_agg(data -> 'total'
               ORDER BY version DESC) FILTER (WHERE event_type <> 'order.cancelled'))[1] AS total,
           max(data ->> 'ordered_at') FILTER (WHERE event_type = 'order.placed') AS placed_for,
           max(data ->> 'ordered_at') FILTER (WHERE event_type = 'order.confirmed')
               AS confirmed_for,
           max(recorded_at) FILTER (WHERE event_type = 'order.confirmed') AS confirmed_at,
           max(recorded_at) FILTER (WHERE event_type = 'order.cancelled') AS cancelled_at,
           min(recorded_at) AS created_at, max(recorded_at) AS updated_at, max(version) AS version,
               max(position) AS position
    FROM event_store.events
    WHERE event_type IN ('order.placed', 'order.line_added', 'order.line_removed',
        'order.confirmed', 'order.cancelled')
    GROUP BY stream
)
SELECT substr(h.stream, 7)::uuid AS id, h.user_id::uuid AS user_id,
       CASE WHEN h.cancelled_at IS NOT NULL THEN 'cancelled' WHEN h.confirmed_at IS NOT NULL
           THEN 'confirmed' ELSE 'pending' END AS status,
       h.total ->> 'currency' AS currency, (h.total ->> 'minor')::bigint AS total_minor,
       COALESCE(l.units, 0) AS units, COALESCE(l.lines, '[]') AS lines,
       COALESCE(h.confirmed_for, h.placed_for)::timestamptz AS ordered_at, h.confirmed_at,
           h.cancelled_at,
       h.created_at, h.updated_at, h.version, h.position
FROM histories AS h
LEFT JOIN lines AS l USING (stream)
