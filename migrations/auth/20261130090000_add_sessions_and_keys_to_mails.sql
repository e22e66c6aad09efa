-- What a mailed token must not outlive, and what a notice tells of.

-- A change of the e-mail address counts no more when the session that asked for it was taken away.
-- Of those that wait, nobody knows the session: their users ask again.
DELETE FROM auth.pending WHERE kind = 'email-change';
ALTER TABLE auth.pending
    ADD COLUMN session_id uuid,
    ADD CONSTRAINT pending_session_check CHECK ((kind = 'email-change') = (session_id IS NOT NULL));
COMMENT ON COLUMN auth.pending.session_id IS 'Of a change of the address: the session that asked';

-- A notice of a new password says what has become of the API keys.
ALTER TABLE auth.mail_outbox
    ADD COLUMN key_count integer CHECK (key_count >= 0),
    DROP CONSTRAINT mail_outbox_kind_check,
    ADD CONSTRAINT mail_outbox_kind_check CHECK (kind IN (
        'sign-up', 'already-registered', 'password-reset', 'email-change', 'email-changed',
        'password-changed', 'password-was-reset', 'key-made', 'nothing'));
COMMENT ON COLUMN auth.mail_outbox.key_count IS
    'Of a new password: how many API keys stay valid; of a reset: how many were revoked';
