-- What waits for the proof that a mail arrived, and the mails to send.

-- A token is mailed for each row: it is derived from the row's nonce and a secret of the command
-- API, so nothing here is a token. Rows are deleted some time after they expire.
CREATE TABLE auth.pending (
    pending_id uuid        PRIMARY KEY,
    kind       text        COLLATE "C" NOT NULL
               CHECK (kind IN ('sign-up', 'password-reset', 'email-change')),
    nonce      bytea       NOT NULL CHECK (octet_length(nonce) = 32),
    -- of a sign-up: the id that the user will have; the user does not exist yet
    user_id    uuid        NOT NULL,
    -- the new address; null for a reset
    email      text        CHECK (octet_length(email) <= 254),
    -- of a sign-up: the person's name
    name       text        CHECK (octet_length(name) <= 1000),
    -- the keyed hash of the address that the user held then; with another one, the token counts no
    -- more. Null for a sign-up, whose user does not exist yet
    held_hash  bytea       CHECK (octet_length(held_hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- when the token was used; a repeat within the time may complete what was interrupted
    done_at    timestamptz,
    CHECK ((kind = 'password-reset') = (email IS NULL)),
    CHECK ((kind = 'sign-up') = (name IS NOT NULL)),
    CHECK ((kind = 'sign-up') = (held_hash IS NULL))
);
CREATE INDEX pending_user ON auth.pending (user_id);
CREATE INDEX pending_expiry ON auth.pending (expires_at);

-- Mails to send. A row is deleted when its mail was handed over.
CREATE TABLE auth.mail_outbox (
    mail_id    uuid        PRIMARY KEY,
    kind       text        COLLATE "C" NOT NULL CHECK (kind IN (
                   'sign-up', 'already-registered', 'password-reset', 'email-change',
                   'email-changed', 'password-changed', 'key-made', 'nothing')),
    recipient  text        NOT NULL CHECK (octet_length(recipient) <= 254),
    user_id    uuid        NOT NULL,
    -- whose token the mail has; if it is gone, so is the mail
    pending_id uuid        REFERENCES auth.pending (pending_id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    attempts   integer     NOT NULL DEFAULT 0,
    -- when the next attempt may begin
    next_at    timestamptz NOT NULL
);
CREATE INDEX mail_outbox_next ON auth.mail_outbox (next_at);
CREATE INDEX mail_outbox_user ON auth.mail_outbox (user_id);
CREATE INDEX mail_outbox_pending ON auth.mail_outbox (pending_id);
