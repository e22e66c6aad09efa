//! Who calls: nobody, a user who signed up, and an administrator, each with a real session.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptance::{Client, RunningStack, until};
use anyhow::{Context, Result};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::text;

const ADMINISTRATOR: &str = "admin@example.com";
const USER: &str = "grace@example.com";
const PASSWORD: &str = "a long password for the callers";
/// How long a mail may take.
const MAIL_LIMIT: Duration = Duration::from_secs(30);

/// Who calls an API.
pub(super) struct Caller {
    pub(super) name: &'static str,
    /// The file with the answer to the log-in, unless it is nobody.
    pub(super) session: Option<PathBuf>,
}

/// All callers. They reach different parts of an operation: nobody reads products and is refused
/// otherwise, a user is refused what is not theirs, and an administrator is refused nothing.
pub(super) async fn all(stack: &RunningStack) -> Result<[Caller; 3]> {
    let nobody = stack.client()?.as_nobody();
    let user = signed_up(&nobody, &stack.directory().join("mails")).await?;
    let administrator = logged_in(&nobody, stack).await?;
    let with = |name: &'static str, session: &Value| -> Result<Caller> {
        let file = stack.directory().join(format!("{name}.json"));
        fs::write(&file, session.to_string())?;
        Ok(Caller { name, session: Some(file) })
    };
    Ok([
        Caller { name: "nobody", session: None },
        with("user", &user)?,
        with("administrator", &administrator)?,
    ])
}

/// Makes the first administrator, and logs in.
async fn logged_in(nobody: &Client, stack: &RunningStack) -> Result<Value> {
    let file = stack.directory().join("password");
    fs::write(&file, PASSWORD)?;
    let create = ["run", "command-api", "create-admin", "--email", ADMINISTRATOR];
    stack.run(&[&create[..], &["--password-file", text(&file)?]].concat()).await?;
    let body = json!({"email": ADMINISTRATOR, "password": PASSWORD});
    let answer = nobody.post("/api/v1/auth/log-in", &body).await?.expect(StatusCode::OK)?;
    Ok(answer.data().clone())
}

/// Signs up with the mailed token.
async fn signed_up(nobody: &Client, mails: &Path) -> Result<Value> {
    let body = json!({"email": USER, "name": "Grace Hopper"});
    nobody.post("/api/v1/auth/sign-up", &body).await?.expect(StatusCode::ACCEPTED)?;
    let token = until("the mail of the sign-up", MAIL_LIMIT, async || mailed_token(mails)).await?;
    let body = json!({"token": token, "password": PASSWORD});
    let answer = nobody.post("/api/v1/auth/sign-up/confirm", &body).await?;
    Ok(answer.expect(StatusCode::OK)?.data().clone())
}

/// The token in the only mail that was sent, if it was sent.
fn mailed_token(mails: &Path) -> Result<Option<String>> {
    let Some(file) = fs::read_dir(mails)?.next() else { return Ok(None) };
    // Soft line ends of quoted-printable.
    let text = fs::read_to_string(file?.path())?.replace("=\r\n", "").replace("=3D", "=");
    let (_, token) = text.split_once("#token=").context("a mail with a token")?;
    Ok(token.split_whitespace().next().map(str::to_owned))
}
