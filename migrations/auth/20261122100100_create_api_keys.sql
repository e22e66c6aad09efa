-- API keys: long-lived credentials of programs that act for a user. A key is exchanged for access
-- tokens, which allow what both its scopes and the user's roles allow.

CREATE TABLE auth.api_keys (
    key_id     uuid        PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES auth.accounts (user_id) ON DELETE CASCADE,
    -- the name of the client in its access tokens
    name       text        COLLATE "C" NOT NULL CHECK (name ~ '^[a-z0-9-]{1,64}$'),
    -- SHA-256; the key has 256 random bits, so a plain hash is enough
    key_hash   bytea       NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    scopes     text        COLLATE "C" NOT NULL CHECK (octet_length(scopes) BETWEEN 1 AND 4096),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,             -- null: never
    used_at    timestamptz,             -- to the minute
    revoked_at timestamptz
);
CREATE INDEX api_keys_user ON auth.api_keys (user_id, created_at);
