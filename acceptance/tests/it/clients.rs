//! Clients that other tools generate from the APIs' descriptions, as a frontend's developer would.
//!
//! For each language, the commands that `docs/http-api.md` shows generate a client from each
//! description at the one address of a running stack. `shop`, a program that uses it, passes the
//! strict type checker and buys something. `mistakes`, a program full of mistakes, does not pass:
//! the checker names each mistaken line and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use acceptance::{RunningStack, enterable_folder};
use anyhow::{Context, Result, ensure};
use local_servers::finish_async;
use reqwest::StatusCode;
use serde_json::json;
use tokio::process::Command;

use crate::readme::page;
use crate::tools::{Tools, said_by};

mod python;
mod typescript;

/// How long generating a client may take, or checking or running a program. A type checker may
/// share the machine with other tests.
const LIMIT: Duration = Duration::from_mins(2);
/// The administrator whom the TypeScript program logs in as.
const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "a long password for the clients";

/// A description of both APIs, and the name of the client that is generated from it.
struct Description {
    path: &'static str,
    client: &'static str,
}

/// All descriptions: one for each version.
const DESCRIPTIONS: [Description; 2] = [
    Description { path: "/openapi.json", client: "shop_api" },
    Description { path: "/openapi/v2.json", client: "shop_api_2" },
];

/// A language with a generator of clients and a type checker.
struct Language {
    /// Its name, for messages.
    name: &'static str,
    /// The generator, the checker, and what they need. The programs are next to the pins.
    tools: Tools,
    /// The end of its files' names.
    end: &'static str,
    /// Generates a client, as the book shows it.
    generate: fn(&Description) -> String,
    /// Makes the generator fail on what it would only warn of.
    strictly: &'static str,
    /// Checks all clients and programs in the working folder.
    check: &'static str,
    /// Runs `shop` after it was checked.
    run: &'static str,
    /// Puts the installed tools where a command finds them.
    equip: fn(&mut Command, &Path, &Path) -> Result<()>,
    /// Reads a mistake from a line of the checker: the file, the line in it, and the code.
    mistake: fn(&str) -> Option<(&str, usize, &str)>,
}

#[tokio::test]
async fn a_typescript_client_from_the_descriptions_is_strictly_typed_and_buys_something()
-> Result<()> {
    client_buys(&typescript::LANGUAGE).await
}

#[tokio::test]
async fn a_python_client_from_the_descriptions_is_strictly_typed_and_buys_something() -> Result<()>
{
    client_buys(&python::LANGUAGE).await
}

async fn client_buys(language: &Language) -> Result<()> {
    let what = format!("a client in {}", language.name);
    let Some(tools) = language.tools.or_without(&what).await? else { return Ok(()) };
    let stack = RunningStack::start().await?;
    // Without it, a confirmed order stays confirmed.
    stack.run(&["stop", "process-manager"]).await?;
    let since = Instant::now();
    let folder = enterable_folder()?;
    let work = Work::new(language, &tools, &stack, folder.path()).await?;
    let book = page("docs/http-api.md")?;
    for description in DESCRIPTIONS {
        let command = (language.generate)(&description);
        ensure!(book.contains(&command), "docs/http-api.md does not show `{command}`");
        work.succeed(&(command + language.strictly)).await?;
    }
    work.add("shop")?;
    work.succeed(language.check).await?;
    let said = work.succeed(language.run).await?;
    let order = said.lines().last().context("the id of the order")?;
    let path = format!("/api/v1/orders/{order}");
    let client = stack.endpoints()?.client_of_front()?;
    let shown = client.get(&path).await?.expect(StatusCode::OK)?;
    assert_eq!(
        (&shown.data()["status"], &shown.data()["total"]),
        (&json!("confirmed"), &json!("29.34"))
    );

    let mistakes = work.add("mistakes")?;
    let checked = work.output(language.check).await?;
    let report = said_by(&checked);
    ensure!(!checked.status.success(), "the checker found no mistake:\n{report}");
    let found: BTreeSet<_> = report.lines().filter_map(language.mistake).collect();
    let file = format!("mistakes.{}", language.end);
    assert_eq!(found, marked(&mistakes, &file)?, "{report}");
    eprintln!("the client in {} took {:.0?}", language.name, since.elapsed());
    stack.down().await
}

/// The folder that clients are generated to and programs are checked in.
struct Work<'a> {
    language: &'a Language,
    tools: &'a Path,
    folder: &'a Path,
    environment: Vec<(&'static str, String)>,
}

impl<'a> Work<'a> {
    async fn new(
        language: &'a Language,
        tools: &'a Path,
        stack: &RunningStack,
        folder: &'a Path,
    ) -> Result<Work<'a>> {
        let endpoints = stack.endpoints()?;
        let token = stack.run(&["token"]).await?;
        administrator(stack, folder).await?;
        let environment = vec![
            ("API", endpoints.front),
            ("TOKEN", token.trim().to_owned()),
            ("EMAIL", EMAIL.to_owned()),
            ("PASSWORD", PASSWORD.to_owned()),
        ];
        let work = Work { language, tools, folder, environment };
        for name in language.tools.settings {
            work.copy(name)?;
        }
        Ok(work)
    }

    /// Copies a program of this language, and returns its text.
    fn add(&self, program: &str) -> Result<String> {
        self.copy(&format!("{program}.{}", self.language.end))
    }

    fn copy(&self, name: &str) -> Result<String> {
        let from = self.language.tools.source().join(name);
        let text =
            fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
        fs::write(self.folder.join(name), &text)?;
        Ok(text)
    }

    /// Runs a command as a shell does, in this folder.
    async fn output(&self, command: &str) -> Result<Output> {
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", command]).current_dir(self.folder);
        shell.envs(self.environment.iter().map(|(name, value)| (name, value)));
        (self.language.equip)(&mut shell, self.tools, self.folder)?;
        let since = Instant::now();
        let output = finish_async(&mut shell, LIMIT).await?;
        eprintln!("`{command}` took {:.1?}", since.elapsed());
        Ok(output)
    }

    /// Runs a command that must succeed, and returns its output.
    async fn succeed(&self, command: &str) -> Result<String> {
        let output = self.output(command).await?;
        ensure!(output.status.success(), "`{command}`: {}", said_by(&output));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Makes the stack's first administrator. (`cargo stack up` does that for people, but not the
/// supervisor alone.)
async fn administrator(stack: &RunningStack, folder: &Path) -> Result<()> {
    let file = folder.join("password");
    fs::write(&file, PASSWORD)?;
    let file = file.to_str().context("a path that is text")?;
    stack
        .run(&["run", "command-api", "create-admin", "--email", EMAIL, "--password-file", file])
        .await?;
    Ok(())
}

/// The marked mistakes of a program: the file, the line and the checker's code.
fn marked<'a>(program: &'a str, file: &'a str) -> Result<BTreeSet<(&'a str, usize, &'a str)>> {
    let marks = program.lines().enumerate().filter_map(|(at, line)| {
        let (_, code) = line.split_once(" wrong: ")?;
        Some((file, at + 1, code.trim()))
    });
    let marks: BTreeSet<_> = marks.collect();
    ensure!(!marks.is_empty(), "no line of {file} is marked");
    Ok(marks)
}
