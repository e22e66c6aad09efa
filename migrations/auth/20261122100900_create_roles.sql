-- The database role and its rights. Roles belong to the whole cluster, so it may exist already, or
-- another database's migration may be creating it now.

DO $$
BEGIN
    CREATE ROLE auth_writer NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- exists already
END
$$;

REVOKE ALL ON SCHEMA auth FROM PUBLIC;
GRANT USAGE ON SCHEMA auth TO auth_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA auth TO auth_writer;
GRANT INSERT, DELETE ON auth.accounts, auth.memberships, auth.sessions, auth.revocations,
    auth.api_keys, auth.pending, auth.mail_outbox TO auth_writer;
GRANT INSERT ON auth.followed TO auth_writer;
GRANT UPDATE (position, event_id) ON auth.followed TO auth_writer;
GRANT UPDATE (password_hash, password_changed_at, erased_at) ON auth.accounts TO auth_writer;
-- What a session is stays as it was; its address may only go.
GRANT UPDATE (address, used_at, token_hash, previous_hash, rotated_at, ended_at, ended_why)
    ON auth.sessions TO auth_writer;
GRANT UPDATE (used_at, revoked_at) ON auth.api_keys TO auth_writer;
GRANT UPDATE (done_at) ON auth.pending TO auth_writer;
GRANT UPDATE (attempts, next_at) ON auth.mail_outbox TO auth_writer;
GRANT UPDATE (before, expires_at) ON auth.revocations TO auth_writer;
