//! A shop with log-ins, whose clock a test sets.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use command_api::auth::mail::Mailer;
use command_api::auth::mail::sender::Sender;
use command_api::auth::password::{Password, Passwords};
use command_api::auth::{Database, Directory, Identity, Limits, Parts, Pepper, account, database};
use identity::config::{AUDIENCE, ISSUER};
use identity::{Claims, Gate, Revocations, Verifier};
use local_servers::{TestDatabase, until};
use secrecy::SecretString;
use serde_json::{Value, json};
use service_kit::clock::{self, Clock as _, FixedClock};
use service_kit::health::Health;
use service_kit::http::ClientAddress;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::tokens;
use crate::support::{Reply, Shop, With as _, json_request};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The tables of the schema.
const TABLES: [&str; 9] = [
    "accounts",
    "api_keys",
    "followed",
    "mail_outbox",
    "memberships",
    "pending",
    "revocations",
    "roles",
    "sessions",
];

/// A shop with log-ins.
pub(crate) struct Site {
    pub(crate) shop: Shop,
    pub(crate) identity: Identity,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) credentials: Database,
    pub(crate) database: TestDatabase,
    verifier: Verifier,
}

/// The tokens of a session, as a client gets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) id: String,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::over(Shop::new()).await
    }

    pub(crate) async fn over(shop: Shop) -> Self {
        let fingerprint = database::schema_fingerprint();
        let database = TestDatabase::create("command_api_auth", &fingerprint, |url| async move {
            Ok(database::migrate(&url.into()).await?)
        })
        .await;
        let url = database.url_in_group("auth_writer").await;
        let credentials = Database::new(&url.into()).unwrap();
        credentials.check().await.unwrap();
        let verifier = verifier();
        let clock = FixedClock::at(clock::system().now());
        let revocations = shop.revocations.clone();
        let identity = identity_over(&shop, credentials.clone(), &clock, revocations);
        let shop = shop.with_identity(identity.clone());
        Self { shop, identity, clock, credentials, database, verifier }
    }

    /// Another copy of the command API, with the gate of its API. It does not know what is revoked
    /// until it reads that.
    pub(crate) fn copy(&self, credentials: &Database) -> (Identity, Gate) {
        let revocations = Revocations::unknown();
        let gate = Gate::new(Arc::new(verifier()), revocations.clone());
        (identity_over(&self.shop, credentials.clone(), &self.clock, revocations), gate)
    }

    /// A registered user with an account and this password.
    pub(crate) async fn user(&self, email: &str, password: &str) -> Uuid {
        let user: Uuid = self.shop.user(email).await.parse().unwrap();
        let password = Password::new(password.into()).unwrap();
        let hash = Passwords::new(1).hash(password, None).await.unwrap();
        assert!(
            account::open(&mut self.owner().await, user, &hash, self.clock.now()).await.unwrap()
        );
        user
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Reply {
        self.log_in_from([192, 0, 2, 1].into(), email, password).await
    }

    pub(crate) async fn log_in_from(&self, address: IpAddr, email: &str, password: &str) -> Reply {
        let body = json!({"email": email, "password": password, "client": "web"});
        let mut request = json_request("POST", "/api/v1/auth/log-in", &body);
        request.extensions_mut().insert(ClientAddress(Some(address)));
        self.shop.send(request).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Reply {
        self.post_token("refresh", token).await
    }

    /// Posts a refresh token to one of the operations.
    pub(crate) async fn post_token(&self, operation: &str, token: &str) -> Reply {
        self.shop.send(token_request(operation, token)).await
    }

    /// What an access token says. The token is verified at the machine's time.
    pub(crate) fn claims(&self, session: &Session) -> Claims {
        self.verifier.verify(&session.access).unwrap().claims.clone()
    }

    pub(crate) fn later(&self, by: TimeDelta) {
        self.clock.set(self.clock.now() + by);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A connection as the owner, to look at everything.
    pub(crate) async fn owner(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    /// Why each session of all users ended, by their begin; null for live ones.
    pub(crate) async fn ends(&self) -> Vec<Option<String>> {
        let ends = sqlx::query_scalar("SELECT ended_why FROM auth.sessions ORDER BY session_id");
        ends.fetch_all(&mut self.owner().await).await.unwrap()
    }

    /// The microsecond up to which tokens of a session are refused; `None` if they are not.
    pub(crate) async fn revoked(&self, session: &Session) -> Option<i64> {
        self.revocation(&format!("session:{}", session.id)).await
    }

    /// The same for an API key.
    pub(crate) async fn revoked_key(&self, id: &str) -> Option<i64> {
        self.revocation(&format!("key:{id}")).await
    }

    /// The same for all tokens of a user.
    pub(crate) async fn revoked_user(&self, id: Uuid) -> Option<i64> {
        self.revocation(&format!("user:{id}")).await
    }

    async fn revocation(&self, of: &str) -> Option<i64> {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(of).to_vec();
        let before = sqlx::query_scalar("SELECT before FROM auth.revocations WHERE hash = $1");
        before.bind(hash).fetch_optional(&mut self.owner().await).await.unwrap()
    }

    /// Every row of the schema as text.
    pub(crate) async fn dump(&self) -> String {
        let mut all = String::new();
        for table in TABLES {
            let rows = format!("SELECT t::text FROM auth.{table} t");
            let rows = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(rows));
            all += &rows.fetch_all(&mut self.owner().await).await.unwrap().join("\n");
        }
        all
    }
}

fn verifier() -> Verifier {
    Verifier::new(ISSUER, AUDIENCE, tokens::issuer().keys().published())
}

fn identity_over(
    shop: &Shop,
    database: Database,
    clock: &Arc<FixedClock>,
    revocations: Revocations,
) -> Identity {
    let hours = std::time::Duration::from_hours;
    Identity::new(Parts {
        database,
        directory: Directory {
            commands: Arc::clone(&shop.application.commands),
            reservations: shop.application.environment.reservations.clone(),
        },
        passwords: Passwords::new(2),
        pepper: Pepper::derive(&[7; 32]),
        issuer: Arc::new(tokens::issuer()),
        revocations,
        limits: Limits { idle: hours(2), absolute: hours(5) },
        clock: clock.clone(),
    })
}

pub(crate) fn token_request(operation: &str, token: &str) -> Request<Body> {
    let path = format!("/api/v1/auth/{operation}");
    json_request("POST", &path, &json!({"refresh_token": token}))
}

impl Reply {
    /// The tokens in the answer.
    #[track_caller]
    pub(crate) fn session(&self) -> Session {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let data = self.ok();
        Session {
            access: text(&data["access_token"]),
            refresh: text(&data["refresh_token"]),
            id: text(&data["session_id"]),
        }
    }
}

/// A hash with weaker parameters than those of today.
pub(crate) fn weak_hash(password: &str) -> String {
    use argon2::password_hash::PasswordHasher as _;
    use argon2::{Algorithm, Argon2, Params, Version};
    let params = Params::new(8 * 1024, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).unwrap().to_string()
}

/// A refresh token that this system did not make.
pub(crate) fn foreign_token(session: &Session) -> String {
    use secrecy::ExposeSecret as _;
    let token = Pepper::first(session.id.parse().unwrap());
    let text: SecretString = Pepper::derive(&[8; 32]).write(&token);
    text.expose_secret().to_owned()
}

impl Site {
    /// Sends a request in the name of a session.
    pub(crate) async fn as_user(
        &self,
        session: &Session,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Reply {
        let path = format!("/api/v1/auth/{path}");
        let request = match body {
            Some(body) => json_request(method, &path, &body),
            None => Request::builder().method(method).uri(path).body(Body::empty()).unwrap(),
        };
        let request = request.with("authorization", &format!("Bearer {}", session.access));
        self.shop.send(request).await
    }

    /// A registered user with a session.
    pub(crate) async fn signed_in(&self, email: &str) -> (Uuid, Session) {
        let user = self.user(email, PASSWORD).await;
        (user, self.log_in(email, PASSWORD).await.session())
    }

    /// A user with a role, and a session that knows it.
    pub(crate) async fn with_role(&self, email: &str, role: &str) -> (Uuid, Session) {
        let user = self.user(email, PASSWORD).await;
        account::give_role(&mut self.owner().await, user, role).await.unwrap();
        (user, self.log_in(email, PASSWORD).await.session())
    }

    /// Runs statements as the owner of the database.
    pub(crate) async fn sql(&self, statements: &str) {
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(statements).execute(&mut self.owner().await).await.unwrap();
    }

    /// Waits until a statement waits for the lock of another one.
    pub(crate) async fn until_somebody_waits(&self) {
        until("a statement waits for another one", async || {
            let waits = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity USING (pid)
                WHERE NOT granted AND datname = current_database())";
            sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut self.owner().await).await.unwrap()
        })
        .await;
    }

    /// The roles of a user, in the table.
    pub(crate) async fn user_roles(&self, user: Uuid) -> Vec<String> {
        let roles = "SELECT role FROM auth.memberships WHERE user_id = $1 ORDER BY role";
        let roles = sqlx::query_scalar(roles).bind(user);
        roles.fetch_all(&mut self.owner().await).await.unwrap()
    }

    /// Sends what waits, and returns all mails: the recipient with the text.
    pub(crate) async fn mails(&self) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let pulse = Health::new().pulse("mails", std::time::Duration::from_mins(1));
        sender(folder.path()).send_waiting(&self.identity, &pulse).await.unwrap();
        let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.collect();
        files.sort();
        let mail = |path| {
            // Soft line ends of quoted-printable.
            let text =
                std::fs::read_to_string(path).unwrap().replace("=\r\n", "").replace("=3D", "=");
            let to = text.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().to_owned();
            (to, text)
        };
        files.into_iter().map(mail).collect()
    }

    /// The token in the mail that was asked for last, which goes to this address.
    pub(crate) async fn newest_mailed_token(&self, to: &str) -> String {
        let mails = self.mails().await;
        let tokens = mails.iter().filter(|mail| mail.0 == to);
        let token = tokens.filter_map(|mail| mail.1.split_once("#token=")).next_back();
        token.expect("a mail with a token").1.trim().to_owned()
    }

    /// The token in the only mail that waits, which goes to this address.
    pub(crate) async fn mailed_token(&self, to: &str) -> String {
        let mails = self.mails().await;
        assert_eq!(mails.len(), 1, "{mails:?}");
        assert_eq!(mails[0].0, to);
        let (_, token) = mails[0].1.split_once("#token=").expect("a mail with a token");
        token.trim().to_owned()
    }
}

/// A sender that writes mails to files.
pub(crate) fn sender(folder: &std::path::Path) -> Sender {
    Sender {
        mailer: Mailer::Folder(folder.to_owned()),
        from: "Shop <shop@example.com>".into(),
        frontend: "https://shop.example.com".into(),
    }
}

/// Another text of the same form.
pub(crate) fn altered(token: &str) -> String {
    let mut altered = token.to_owned();
    altered.replace_range(30..31, if &token[30..31] == "A" { "B" } else { "A" });
    altered
}
