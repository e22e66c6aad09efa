-- Begins a new history of the log. A person decides on it after a copy was restored, or a standby
-- promoted with commits missing. Appends wait for its lock, so the epoch begins after a definite
-- position.
--
-- p_abandoned: epochs that other copies of the log had begun and that end here. Processes that know
-- one of them follow.

-- The first of these ids that cannot be an epoch's, or NULL. An epoch's id begins with its time in
-- 48 bits, and the next epoch follows it. An id from the second half of that time (after the year
-- 6429) would use up what is left: the next epoch would begin at zero again, before all others.
CREATE FUNCTION event_store.impossible_epoch(p_epochs uuid[]) RETURNS uuid
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT e FROM unnest(p_epochs) AS e
    WHERE e >= '80000000-0000-0000-0000-000000000000'::uuid LIMIT 1
$function$;

CREATE FUNCTION event_store.begin_epoch(p_reason text, p_abandoned uuid[]) RETURNS uuid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    v_epoch uuid;
    v_impossible uuid := event_store.impossible_epoch(p_abandoned);
BEGIN
    IF v_impossible IS NOT NULL THEN
        RAISE EXCEPTION '% is not the id of an epoch: its time is too far ahead', v_impossible;
    END IF;
    PERFORM FROM event_store.log AS l FOR UPDATE;
    v_epoch := event_store.epoch_after(p_abandoned || ARRAY(SELECT e.epoch FROM event_store.epochs
        AS e)
        || ARRAY(SELECT unnest(e.abandoned) FROM event_store.epochs AS e));
    INSERT INTO event_store.epochs (epoch, began_after, reason, abandoned)
        VALUES (v_epoch, (SELECT coalesce(max(e.position), 0) FROM event_store.events AS e),
            p_reason, p_abandoned);
    UPDATE event_store.log SET epoch = v_epoch;
    RETURN v_epoch;
END
$function$;
