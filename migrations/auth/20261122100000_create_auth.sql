-- The schema of users' credentials. Nobody can sign in yet, so its only table is that of its
-- migrations.
CREATE SCHEMA IF NOT EXISTS auth;
COMMENT ON SCHEMA auth IS
    'Credentials of users; owned by the command API, empty until sign-in exists';
