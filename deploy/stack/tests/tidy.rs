//! The repository's rules as tests: dependencies between crates, lengths, and forbidden words. To
//! change a rule, change it here in a commit that argues for it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

// Named by path, because a file next to this one would become a separate test program.
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/features.rs"]
mod features;
#[path = "tidy/goldens.rs"]
mod goldens;
#[path = "tidy/lengths.rs"]
mod lengths;
#[path = "tidy/map.rs"]
mod map;
#[path = "tidy/numbers.rs"]
mod numbers;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/tasks.rs"]
mod tasks;
#[path = "tidy/waits.rs"]
mod waits;

/// Our crates, their folders, and the crates of ours that each may use.
const EDGES: &[(&str, &str, &[&str])] = &[
    ("formats", "formats", &[]),
    ("aggregate", "aggregate", &[]),
    ("domain", "domain", &["aggregate", "formats"]),
    ("access", "access", &[]),
    ("identity", "identity", &["access", "service-kit", "cli-kit"]),
    ("postgres-kit", "postgres-kit", &[]),
    ("cli-kit", "cli-kit", &[]),
    ("event-store", "event-store", &["postgres-kit", "cli-kit"]),
    ("service-kit", "service-kit", &["formats", "postgres-kit", "cli-kit"]),
    ("nats-kit", "nats-kit", &["service-kit", "cli-kit"]),
    ("outward", "outward", &[]),
    ("admin-client", "admin-client", &["service-kit"]),
    ("graphql-kit", "graphql-kit", &["service-kit"]),
    (
        "event-feed",
        "event-feed",
        &["event-store", "service-kit", "nats-kit", "postgres-kit", "cli-kit"],
    ),
    (
        "command-api",
        "command-api",
        &[
            "domain",
            "access",
            "identity",
            "event-store",
            "event-feed",
            "saga",
            "admin-client",
            "graphql-kit",
            "service-kit",
            "nats-kit",
            "outward",
            "postgres-kit",
            "cli-kit",
        ],
    ),
    ("projection", "projection", &["event-store", "event-feed", "service-kit", "postgres-kit"]),
    ("saga", "saga", &["aggregate", "event-store", "event-feed", "service-kit", "postgres-kit"]),
    (
        "projector",
        "projector",
        &[
            "domain",
            "access",
            "identity",
            "event-store",
            "event-feed",
            "projection",
            "saga",
            "admin-client",
            "service-kit",
            "nats-kit",
            "postgres-kit",
            "cli-kit",
        ],
    ),
    (
        "query-api",
        "query-api",
        &[
            "formats",
            "access",
            "identity",
            "service-kit",
            "nats-kit",
            "graphql-kit",
            "postgres-kit",
            "cli-kit",
        ],
    ),
    ("front", "front", &["graphql-kit", "service-kit", "nats-kit", "cli-kit"]),
    ("sandbox", "sandbox", &["outward", "service-kit", "nats-kit", "cli-kit"]),
    ("local-servers", "deploy/servers", &[]),
    ("stack", "deploy/stack", &["access", "identity", "nats-kit", "local-servers", "cli-kit"]),
    (
        "acceptance",
        "acceptance",
        &[
            "domain",
            "identity",
            "event-store",
            "event-feed",
            "service-kit",
            "graphql-kit",
            "local-servers",
            "stack",
            "cli-kit",
        ],
    ),
];
/// Crates that any tests may use.
const FOR_TESTS: &[&str] =
    &["local-servers", "event-store", "projection", "saga", "sandbox", "service-kit", "stack"];
/// Tests of one process that may use another process's crate to create the data it reads.
const FOR_TESTS_OF: &[(&str, &str, &str)] = &[
    ("query-api", "projector", "the tables are the ones that the projector makes"),
    ("acceptance", "command-api", "its adapters, against doubles that others wrote"),
    ("acceptance", "outward", "the limits of those adapters"),
];
/// All dependencies that the domain may have.
const DOMAIN_USES: &[&str] =
    &["aggregate", "chrono", "formats", "schemars", "serde", "serde_json", "thiserror", "uuid"];
/// Dependencies that the root crates must not have.
const NOT_IN_ROOTS: &[&str] = &["axum", "async-nats", "reqwest", "tower", "tower-http", "hyper"];

/// Files that build statements at runtime: names of databases and roles cannot be parameters.
const ASSERTED_SQL: &[(&str, &str)] = &[
    ("acceptance/src/bench/queries/plain.rs", "the statements that the query API itself runs"),
    ("acceptance/src/bench/server.rs", "the name of the bench's database"),
    ("deploy/servers/src/database.rs", "names of test databases, made of letters and digits there"),
    ("deploy/stack/src/database.rs", "statements that the server quoted"),
    ("deploy/stack/src/prepare.rs", "the tree's own SQL files"),
    ("postgres-kit/src/schema.rs", "the table of migrations of a schema that a program names"),
    ("query-api/src/read/statement.rs", "constants, which are put together for a set of filters"),
    ("projection/src/test_kit.rs", "the view of a projection, by its own name"),
];
/// Types that open or hold a Postgres connection without a client-side deadline.
const RAW_CONNECTIONS: &[&str] =
    &["PgPool", "PgPoolOptions", "PoolOptions", "PoolConnection", "PgListener"];
/// The crates of the running system. Tools and tests may connect in any way, because no user waits
/// for them.
const RUNNING: &[&str] = &[
    "event-store/",
    "event-feed/",
    "projection/",
    "saga/",
    "service-kit/",
    "nats-kit/",
    "outward/",
    "command-api/",
    "projector/",
    "query-api/",
    "front/",
];
/// Tests that may sleep outside a loop that checks a condition, because time is what they test.
const SLEEPING_TESTS: &[(&str, &str)] = &[
    ("command-api/tests/it/stale.rs", "a server whose reads are slow"),
    ("event-feed/src/follower/tests.rs", "virtual time: appends come in between"),
    (
        "event-feed/tests/it/relay_faults.rs",
        "the pace of a load, and a kill at a random moment under it",
    ),
    ("event-store/src/postgres/tails/tests.rs", "a round that waits longer than a slow one"),
    ("front/tests/it/failures.rs", "a client whose body comes slowly"),
    ("postgres-kit/tests/it/connection.rs", "a statement that takes longer than its limit"),
    ("postgres-kit/tests/it/limits.rs", "statements that hold their connections"),
    ("postgres-kit/tests/it/listener.rs", "news that come after several signs of life"),
    ("postgres-kit/tests/it/pool.rs", "a statement that takes longer than its limit"),
    ("projector/tests/it/past/long.rs", "a server that is slow to change rows"),
    ("service-kit/tests/it/layers.rs", "a handler that is too slow"),
];
/// Files besides `main.rs` where a program ends. Only `main` calls them and prints their errors.
const ENDS: &[&str] = &[
    "command-api/src/administrator.rs",
    "command-api/src/offline.rs",
    "command-api/src/user_access.rs",
    "command-api/src/erasure.rs",
    "command-api/src/process_manager.rs",
    "command-api/src/process_manager/remote.rs",
    "command-api/src/process_manager/run.rs",
    "command-api/src/remote.rs",
    "command-api/src/serve.rs",
    "command-api/src/serve/api.rs",
    "projector/src/dispatch.rs",
    "projector/src/process.rs",
];
/// The only files that may notify. (The listener's test does too.) NOTIFY in an append would
/// serialise commits.
const NOTIFIES: &[&str] = &["event-store/sql/wake_relay.sql", "postgres-kit/tests/it/listener.rs"];

struct Source {
    /// The path from the root of the checkout, with slashes.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/benches/")
            // This is another workspace that a test builds.
            || self.path.starts_with("acceptance/outside/")
    }

    /// Whether the file has this extension.
    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// The text before its test module.
    fn without_tests(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file())
        .unwrap()
        .to_owned()
}

/// The checkout's text files, without generated ones.
fn files() -> Vec<Source> {
    const MADE: &[&str] = &["target", ".git", ".stack", ".sqlx"];
    let root = root();
    let walk = walkdir::WalkDir::new(&root).into_iter();
    let kept =
        walk.filter_entry(|entry| !MADE.contains(&entry.file_name().to_str().unwrap_or_default()));
    let paths = kept.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let sources = paths.filter_map(|entry| {
        let path = entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        Some(Source { path, text: std::fs::read_to_string(entry.path()).ok()? })
    });
    sources.collect()
}

fn rust() -> Vec<Source> {
    files()
        .into_iter()
        .filter(|file| Path::new(&file.path).extension().is_some_and(|end| end == "rs"))
        .collect()
}

/// Fails with all offences, not only the first.
#[allow(clippy::needless_pass_by_value, reason = "reads better at every call")]
fn none(rule: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

fn manifest(folder: &str) -> toml::Table {
    std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap().parse().unwrap()
}

fn dependencies(manifest: &toml::Table, kind: &str) -> BTreeSet<String> {
    manifest
        .get(kind)
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn every_crate_of_ours_uses_only_the_crates_that_it_may() {
    let ours: Vec<&str> = EDGES.iter().map(|(name, ..)| *name).collect();
    let mut offences = Vec::new();
    for (name, folder, allowed) in EDGES {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(*name));
        let uses = dependencies(&manifest, "dependencies");
        let in_tests = dependencies(&manifest, "dev-dependencies");
        let is_ours = |dependency: &&String| ours.contains(&dependency.as_str());
        let wrong = uses.iter().filter(is_ours).filter(|used| !allowed.contains(&used.as_str()));
        offences.extend(wrong.map(|used| format!("{name} uses {used}")));
        let lent = |used: &str| {
            FOR_TESTS.contains(&used)
                || FOR_TESTS_OF.iter().any(|(by, of, _)| by == name && *of == used)
        };
        let wrong = in_tests
            .iter()
            .filter(is_ours)
            .filter(|used| !allowed.contains(&used.as_str()) && !lent(used));
        offences.extend(wrong.map(|used| format!("the tests of {name} use {used}")));
    }
    none("arrows between crates point one way", offences);
}

#[test]
fn every_crate_is_listed_and_takes_the_workspaces_lints() {
    let workspace = manifest(".");
    let members: BTreeSet<&str> = workspace["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap())
        .collect();
    assert_eq!(members, EDGES.iter().map(|(_, folder, _)| *folder).collect());
    for folder in members {
        assert_eq!(manifest(folder)["lints"]["workspace"].as_bool(), Some(true), "{folder}");
    }
}

#[test]
fn the_roots_know_neither_http_nor_nats_and_the_domain_nothing_but_values() {
    assert_eq!(
        dependencies(&manifest("domain"), "dependencies"),
        DOMAIN_USES.iter().map(ToString::to_string).collect()
    );
    for folder in ["domain", "access", "event-store"] {
        let uses = dependencies(&manifest(folder), "dependencies");
        let wrong: Vec<String> =
            uses.into_iter().filter(|used| NOT_IN_ROOTS.contains(&used.as_str())).collect();
        none(folder, wrong);
    }
}

#[test]
fn every_file_says_first_what_lives_in_it() {
    let silent = rust().into_iter().filter(|file| !file.text.starts_with("//!"));
    none("a file opens with //!", silent.map(|file| file.path).collect());
}

#[test]
fn standard_output_is_written_through_the_kit_that_minds_its_reader() {
    let by_hand =
        rust().into_iter().filter(|file| !file.path.starts_with("cli-kit/") && !file.is_test());
    let by_hand = by_hand.filter(|file| {
        let mut code = file.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.any(|line| {
            ["io::stdout(", "println!(", " print!("]
                .iter()
                .any(|word| line.replace("eprintln!(", "").contains(word))
        })
    });
    // A build script prints for cargo.
    let by_hand = by_hand
        .map(|file| file.path)
        .filter(|path| path != "deploy/stack/tests/tidy.rs" && !path.ends_with("build.rs"));
    none("`… | head -1` ends every command line quietly: use cli_kit::stdout", by_hand.collect());
}

#[test]
fn modules_are_named_after_what_they_hold() {
    const VAGUE: &[&str] =
        &["mod.rs", "util.rs", "utils.rs", "common.rs", "misc.rs", "manager.rs", "helpers.rs"];
    let vague = rust()
        .into_iter()
        .map(|file| file.path)
        .filter(|path| VAGUE.contains(&path.rsplit('/').next().unwrap()));
    none("no mod.rs, no drawer", vague.collect());
}

#[test]
fn no_word_of_the_shop_stands_in_the_general_crates() {
    const WORDS: &[&str] = &[
        "shop",
        "cart",
        "checkout",
        "product",
        "products",
        "customer",
        "customers",
        "purchase",
        "purchases",
        "invoice",
        "invoices",
        "price",
        "prices",
        "orders",
        "sku",
        "warehouse",
        "shipping",
        "cdnow",
    ];
    const GENERAL: &[&str] = &[
        "event-store/",
        "event-feed/",
        "service-kit/",
        "nats-kit/",
        "outward/",
        "projection/",
        "saga/",
        "migrations/event_store/",
        "migrations/saga/",
    ];
    let mut offences = Vec::new();
    for file in files()
        .into_iter()
        .filter(|file| GENERAL.iter().any(|general| file.path.starts_with(general)))
    {
        for (number, line) in file.text.lines().enumerate() {
            // `order` also means a sequence, so only its uses as a domain name count.
            let thing =
                ["OrderPlaced", "OrderId", "PlaceOrder", "order.placed", "\"order-", "order_id"]
                    .iter()
                    .any(|name| line.contains(name));
            let word = words(line).into_iter().find(|word| WORDS.contains(&word.as_str()));
            if thing || word.is_some() {
                offences.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("streams and events are general: the shop is elsewhere", offences);
}

/// The lower-case words of a line, with `CamelCase` and `snake_case` split.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for c in line.chars() {
        if !c.is_ascii_alphabetic() || (c.is_ascii_uppercase() && after_small) {
            words.push(String::new());
        }
        if c.is_ascii_alphabetic() {
            words.last_mut().unwrap().push(c.to_ascii_lowercase());
        }
        after_small = c.is_ascii_lowercase();
    }
    words
}

#[test]
fn only_one_statement_notifies() {
    let code = files().into_iter().filter(|file| {
        Path::new(&file.path).extension().is_some_and(|end| end == "sql" || end == "rs")
    });
    let notifying = code.filter(|file| {
        let mut lines = file
            .text
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.starts_with("--") && !line.starts_with("//"));
        lines.any(|line| line.contains("pg_notify(") || line.contains("NOTIFY "))
    });
    let paths = notifying
        .map(|file| file.path)
        .filter(|path| path != "deploy/stack/tests/tidy.rs" && !NOTIFIES.contains(&path.as_str()));
    none("only the debounced wake-up notifies", paths.collect());
}

#[test]
fn tests_wait_for_conditions_not_for_time() {
    let mut offences = Vec::new();
    for file in rust().into_iter().filter(|file| file.path != "deploy/stack/tests/tidy.rs") {
        if SLEEPING_TESTS.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        let lines: Vec<&str> = file.text.lines().collect();
        let first = if file.is_test() { 0 } else { file.without_tests().lines().count() };
        for (at, line) in lines.iter().enumerate().skip(first) {
            let sleeps =
                line.contains("sleep(") && !line.contains("random") && !is_in_loop(&lines, at);
            if sleeps || line.contains("#[ignore") {
                offences.push(format!("{}:{}: {}", file.path, at + 1, line.trim()));
            }
        }
    }
    none("a test waits for a condition, and none is ignored", offences);
}

/// Whether a loop in the same function encloses the line. The sleep is then a pause between checks.
fn is_in_loop(lines: &[&str], at: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut around = indent(lines[at]);
    for line in lines[..at].iter().rev().filter(|line| !line.trim().is_empty()) {
        if indent(line) < around {
            around = indent(line);
            let code = line.trim_start();
            // A loop's head may take several lines, and its last line may be only the brace.
            if code == "{" || code == ") {" {
                around += 1;
                continue;
            }
            if code.contains("loop {")
                || ["while ", "for "].iter().any(|word| code.starts_with(word))
            {
                return true;
            }
            if code.contains("fn ") {
                return false;
            }
        }
    }
    false
}

#[test]
fn sql_is_never_joined_from_strings() {
    let mut offences = Vec::new();
    for file in rust().into_iter().filter(|file| file.path != "deploy/stack/tests/tidy.rs") {
        if ASSERTED_SQL.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        // A test may use one statement on several tables.
        if file.is_test() {
            continue;
        }
        if file.text.contains("AssertSqlSafe") {
            offences.push(format!("{}: AssertSqlSafe", file.path));
        }
        let squeezed = file.text.split_whitespace().collect::<Vec<_>>().join(" ");
        for verb in ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ", "CALL "] {
            for open in ["format!(\"", "format!( \"", "format!(r#\"", "concat!(\""] {
                if squeezed.contains(&format!("{open}{verb}")) {
                    offences.push(format!("{}: {open}{verb}", file.path));
                }
            }
        }
    }
    none("values are parameters", offences);
}

#[test]
fn postgres_is_reached_through_connections_with_deadlines() {
    let mut offences = Vec::new();
    for file in rust()
        .into_iter()
        .filter(|file| RUNNING.iter().any(|running| file.path.starts_with(running)))
    {
        if file.is_test() {
            continue;
        }
        for (number, line) in file.without_tests().lines().enumerate() {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let has = |word: &str| line.split(|c| !is_word(c)).any(|found| found == word);
            // The trait with `connect`. The options themselves are named `PgConnectOptions`.
            let imports_connect =
                line.trim_start().starts_with("use sqlx") && has("ConnectOptions");
            let raw = RAW_CONNECTIONS.iter().any(|name| has(name))
                || line.contains("PgConnection::connect")
                || imports_connect;
            if raw && !line.trim_start().starts_with("//") {
                offences.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("Postgres is used only through postgres-kit, which gives every call a deadline", offences);
}

#[test]
fn errors_have_types_where_others_handle_them() {
    let loose = rust().into_iter().filter(|file| {
        let may = ["deploy/stack/", "acceptance/"].iter().any(|path| file.path.starts_with(path));
        let edge = file.path.ends_with("/main.rs")
            || file.path.contains("/src/bin/")
            || ENDS.contains(&file.path.as_str())
            || file.is_test();
        let code = file.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        !may && !edge && code.into_iter().any(|line| line.contains("anyhow::"))
    });
    none("anyhow only where a program ends", loose.map(|file| file.path).collect());
}

#[test]
fn the_repository_speaks_of_itself_alone() {
    // Split up, so that this file does not break its own rule.
    let foreign = [
        concat!("..", "/shared"),
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("static.cra", "tes.io"),
        concat!("index.cra", "tes.io"),
        concat!("pythonho", "sted.org"),
        concat!("py", "pi.org"),
        concat!("registry", ".npmjs.org"),
    ];
    let mut offences = Vec::new();
    for file in files().into_iter().filter(|file| file.path != "Cargo.lock") {
        let found = foreign.iter().filter(|word| file.text.contains(**word));
        offences.extend(found.map(|word| format!("{}: {word}", file.path)));
    }
    none("no machine's paths, no registry's hosts", offences);
}
