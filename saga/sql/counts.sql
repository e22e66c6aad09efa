-- How many instances are in which state.
SELECT saga, status, count(*) AS "count!" FROM saga.work GROUP BY saga, status
