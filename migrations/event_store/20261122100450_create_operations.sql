-- Operations that people requested from the command APIs: who, why, and how each ended. A request
-- survives the process that accepted it. No row is ever deleted: this is the record of who erased
-- whom and who began an epoch. It holds no personal data: a subject is an id, and people write the
-- reason under that rule.
--
-- Rights: event_store_appender adds rows and writes their progress. It cannot change who asked for
-- what and why, cannot change a row that has ended, and cannot delete. Whoever steals that role can
-- ask for an epoch in another's name.
-- Such an epoch loses no event, but ends the tokens of the old epoch, and its row cannot be hidden.

CREATE TABLE event_store.operations (
    id            uuid        PRIMARY KEY,     -- version 7: by time
    kind          text        NOT NULL CHECK (kind IN ('erase_subject', 'begin_epoch')),
    -- what it works on: the id of the subject, or '' for the whole log
    target        text        NOT NULL,
    arguments     jsonb       NOT NULL,
    -- the holder of an access token, as 'user:ID'; without one, what they said of themselves
    requested_by  text        NOT NULL CHECK (requested_by <> ''),
    -- the session or API key of that token
    requested_with uuid,
    reason        text        NOT NULL CHECK (reason <> '' AND length(reason) <= 1000),
    requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    state         text        NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    work          text,                        -- the current stage, for people
    -- how often a process has tried
    attempts      integer     NOT NULL DEFAULT 0,
    started_at    timestamptz,
    heartbeat_at  timestamptz,
    -- after a failed attempt: when the next one may begin
    retry_at      timestamptz,
    -- whether its effect may have begun, so that it can no longer be cancelled
    irrevocable   boolean     NOT NULL DEFAULT false,
    cancel_wanted boolean     NOT NULL DEFAULT false,
    cancelled_by  text,
    cancelled_with uuid,
    result        jsonb,
    -- why it failed; while it runs, what it waits for
    error         text,
    finished_at   timestamptz,
    CHECK ((finished_at IS NULL) = (state IN ('queued', 'running')))
);
-- One at a time per target.
CREATE UNIQUE INDEX operations_unfinished ON event_store.operations (kind, target)
    WHERE finished_at IS NULL;

-- A row that has ended stays as it is. Otherwise a request could be carried out again in the name
-- of the person who made it, and a proof could be rewritten.
CREATE FUNCTION event_store.refuse_change_of_ended_operation() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RAISE EXCEPTION 'operation % has ended: its record cannot be changed', OLD.id;
END
$function$;
CREATE TRIGGER operations_ended BEFORE UPDATE ON event_store.operations
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL)
    EXECUTE FUNCTION event_store.refuse_change_of_ended_operation();

-- Begins the epoch that an operation asks for, and records its end in the same transaction. So it
-- takes effect once, whenever the process dies. NULL if no epoch began: the record says why.
--
-- It begins only the epoch that the person meant. `replaces` names the epoch that was current then,
-- so a repeated request does not begin another one. And a request lasts ten minutes: a backup that
-- is restored later may hold a request that had not ended, and must not begin an epoch by itself.
-- Nor must it on a server whose clock is behind the one that recorded the request.
--
-- It runs with the owner's rights, because only the owner may begin an epoch. It does nothing
-- without a row that names who asked and why.
CREATE FUNCTION event_store.begin_epoch_by_operation(p_id uuid) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    v_operation event_store.operations;
    v_current uuid;
    v_refused text;
    v_epoch uuid;
    v_abandoned uuid[];
    v_impossible uuid;
BEGIN
    -- Nobody begins an epoch between the check and the effect.
    SELECT l.epoch INTO v_current FROM event_store.log AS l FOR UPDATE;
    SELECT o.* INTO v_operation FROM event_store.operations AS o
        WHERE o.id = p_id AND o.kind = 'begin_epoch' AND o.finished_at IS NULL
          AND NOT o.cancel_wanted
        FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    v_abandoned := ARRAY(SELECT a.epoch::uuid
        FROM jsonb_array_elements_text(v_operation.arguments -> 'abandoned') AS a (epoch));
    v_impossible := event_store.impossible_epoch(v_abandoned);
    IF v_operation.requested_at < clock_timestamp() - interval '10 minutes' THEN
        v_refused := 'the request is older than ten minutes: ask again';
    ELSIF v_operation.requested_at > clock_timestamp() + interval '10 minutes' THEN
        v_refused := 'the request is from more than ten minutes ahead of the clock: ask again';
    ELSIF v_current <> (v_operation.arguments ->> 'replaces')::uuid THEN
        v_refused := format('the epoch of the log is %s, not the one to replace', v_current);
    ELSIF v_impossible IS NOT NULL THEN
        v_refused := format('%s is not the id of an epoch: its time is too far ahead',
            v_impossible);
    END IF;
    IF v_refused IS NULL THEN
        v_epoch := event_store.begin_epoch(v_operation.reason, v_abandoned);
    END IF;
    UPDATE event_store.operations AS o
        SET state = CASE WHEN v_refused IS NULL THEN 'succeeded' ELSE 'failed' END,
            work = NULL, error = v_refused, irrevocable = v_refused IS NULL,
            result = CASE WHEN v_refused IS NULL THEN jsonb_build_object('epoch', v_epoch) END,
            finished_at = clock_timestamp()
        WHERE o.id = p_id;
    RETURN v_epoch;
END
$function$;
