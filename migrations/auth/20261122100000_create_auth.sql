-- Who may sign in: passwords, sessions and roles. Only the command API reads this schema. It may be
-- in a database of its own. No e-mail address is in it: who holds an address is recorded by the
-- uniqueness reservations of the event store, so that there is one truth.

CREATE SCHEMA IF NOT EXISTS auth;
COMMENT ON SCHEMA auth IS 'Credentials of users; only the command API uses it';

-- One row per user who may sign in. The user itself is in the event store.
CREATE TABLE auth.accounts (
    user_id             uuid        PRIMARY KEY,
    -- Argon2id as a PHC string, with its salt and parameters; null: no password is set
    password_hash       text        COLLATE "C"
                        CHECK (octet_length(password_hash) BETWEEN 1 AND 512),
    created_at          timestamptz NOT NULL,
    password_changed_at timestamptz NOT NULL,
    -- when everything else of the person was deleted here; the row stays, so that no account is
    -- opened again with this id
    erased_at           timestamptz,
    CHECK (erased_at IS NULL OR password_hash IS NULL)
);

-- Names for grants. They are data: a deployment may add its own.
CREATE TABLE auth.roles (
    name   text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z0-9-]{1,64}$'),
    -- scopes with blanks between them, such as: orders:read.own products:read
    grants text COLLATE "C" NOT NULL CHECK (octet_length(grants) <= 4096)
);

-- Who holds which role. The role `user` needs no row: everybody with an account holds it.
CREATE TABLE auth.memberships (
    user_id uuid NOT NULL REFERENCES auth.accounts (user_id) ON DELETE CASCADE,
    role    text COLLATE "C" NOT NULL REFERENCES auth.roles (name) CHECK (role <> 'user'),
    PRIMARY KEY (user_id, role)
);
CREATE INDEX memberships_role ON auth.memberships (role);

-- One row per log-in. It holds the hash of its one valid refresh token, and the hash of the token
-- before, whose second use within a grace period gets the same successor.
CREATE TABLE auth.sessions (
    session_id    uuid        PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES auth.accounts (user_id) ON DELETE CASCADE,
    -- the frontend, as it named itself
    client        text        COLLATE "C" NOT NULL CHECK (client ~ '^[a-z0-9-]{1,64}$'),
    -- where it was begun; null: unknown, or kept long enough
    address       inet,
    created_at    timestamptz NOT NULL,
    used_at       timestamptz NOT NULL,
    token_hash    bytea       NOT NULL CHECK (octet_length(token_hash) = 32),
    previous_hash bytea       CHECK (octet_length(previous_hash) = 32),
    -- when the previous token was exchanged
    rotated_at    timestamptz,
    ended_at      timestamptz,
    ended_why     text        COLLATE "C" CHECK (ended_why IN (
                      'logged-out', 'logged-out-everywhere', 'token-reused', 'too-many',
                      'user-gone', 'password-changed', 'revoked')),
    CHECK ((previous_hash IS NULL) = (rotated_at IS NULL)),
    CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
CREATE INDEX sessions_user ON auth.sessions (user_id, created_at);

-- The access tokens that are refused before they expire. A row lives as long as such a token could.
CREATE TABLE auth.revocations (
    -- SHA-256 of `session:ID`, `user:ID` or `key:ID`
    hash       bytea       PRIMARY KEY CHECK (octet_length(hash) = 32),
    -- microseconds since 1970: tokens that were issued then or earlier are refused
    before     bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX revocations_expiry ON auth.revocations (expires_at);

-- How far the log was followed for users who were deactivated or erased. A restored backup of this
-- schema has an earlier mark, so it is followed again from there.
CREATE TABLE auth.followed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint  NOT NULL CHECK (position >= 0),
    -- the event at that position, null before the first one; another one there means another
    -- history
    event_id uuid
);
