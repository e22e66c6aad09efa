-- Begins a new history of the log. A person decides on it after a copy was restored, or a standby
-- promoted with commits missing. Appends wait for its lock, so the epoch begins after a definite
-- position.
--
-- p_abandoned: epochs that other copies of the log had begun and that end here. Processes that know
-- one of them follow.

CREATE FUNCTION event_store.begin_epoch(p_reason text, p_abandoned uuid[]) RETURNS uuid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    v_epoch uuid;
BEGIN
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
