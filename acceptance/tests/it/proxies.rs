//! The examples of other proxies in `deploy/front` send each operation to the API that describes
//! it. The rules are read from the examples, and the operations from the programs.

use std::time::Duration;

use acceptance::program;
use anyhow::{Context as _, Result, ensure};
use local_servers::finish_async;
use regex::Regex;
use serde_json::{Map, Value};

use crate::readme::page;

const LIMIT: Duration = Duration::from_secs(30);
/// The name of each API in the examples, its program, and what prints its documents.
const DOCUMENTS: [(&str, &str, &[&str]); 4] = [
    ("command_api", "command-api", &["openapi"]),
    ("command_api", "command-api", &["openapi", "--version", "2"]),
    ("query_api", "query-api", &["openapi"]),
    ("query_api", "query-api", &["openapi", "--version", "2"]),
];
/// The interval at which a server says that a stream or a web socket is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The rules of nginx: each is a pattern of method and path, and the name of an API.
fn rules_of_nginx(text: &str) -> Result<(Vec<(Regex, String)>, String)> {
    let (_, map) = text.split_once("map \"$request_method $uri\" $api {").context("a map")?;
    let (map, _) = map.split_once('}').context("the end of the map")?;
    let (mut rules, mut default) = (Vec::new(), None);
    for line in map.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (pattern, api) = line.trim_end_matches(';').rsplit_once(' ').context("a rule")?;
        match pattern.trim_matches('"').strip_prefix('~') {
            Some(pattern) => rules.push((Regex::new(pattern)?, api.to_owned())),
            None if pattern == "default" => default = Some(api.to_owned()),
            None => anyhow::bail!("not understood: {line}"),
        }
    }
    Ok((rules, default.context("a default")?))
}

#[tokio::test]
async fn the_rules_for_nginx_send_each_operation_to_the_api_that_describes_it() -> Result<()> {
    let (rules, default) = rules_of_nginx(&page("deploy/front/nginx.conf")?)?;
    let mut asked = 0;
    for (api, name, arguments) in DOCUMENTS {
        let mut command = tokio::process::Command::new(program(name)?);
        let output = finish_async(command.args(arguments), LIMIT).await?;
        ensure!(output.status.success(), "{name} {arguments:?}: {output:?}");
        let document: Value = serde_json::from_slice(&output.stdout)?;
        for (path, item) in document["paths"].as_object().context("paths")? {
            // Each API is described at its own address.
            if !path.starts_with("/api/") {
                continue;
            }
            for method in item.as_object().into_iter().flat_map(Map::keys) {
                let request = format!("{} {path}", method.to_uppercase());
                let found = rules.iter().find(|(pattern, _)| pattern.is_match(&request));
                let found = found.map_or(&default, |(_, api)| api);
                assert_eq!(found, api, "{request}");
                asked += 1;
            }
        }
    }
    ensure!(asked > 0, "no operation is described");
    Ok(())
}

#[test]
fn web_sockets_for_graphql_reach_the_query_api_and_streams_are_not_cut() -> Result<()> {
    let nginx = page("deploy/front/nginx.conf")?;
    let (rules, _) = rules_of_nginx(&nginx)?;
    let of = |request| rules.iter().find(|(pattern, _)| pattern.is_match(request));
    let api = of("GET /graphql").map(|(_, api)| api.as_str());
    assert_eq!(api, Some("$graphql_api"), "it depends on the upgrade");
    ensure!(of("POST /graphql").is_none(), "a mutation goes to the default");
    let caddy = page("deploy/front/Caddyfile")?;
    let limits = Regex::new(r"(?m)^\s*\w*read_timeout (\d+)s;?$")?;
    for (text, lines) in [
        (
            &nginx,
            &[
                "map $http_upgrade $graphql_api {",
                "\"~*^websocket$\" query_api;",
                "proxy_set_header Upgrade $http_upgrade;",
                "proxy_set_header Connection $connection_upgrade;",
                "proxy_http_version 1.1;",
                "proxy_buffering off;",
            ][..],
        ),
        (
            &caddy,
            &[
                "path /graphql",
                "header_regexp Upgrade (?i)^websocket$",
                "reverse_proxy @sockets 127.0.0.1:8081 {",
                "flush_interval -1",
            ],
        ),
    ] {
        for line in lines {
            ensure!(text.lines().any(|found| found.trim() == *line), "no line `{line}`");
        }
        let limit = limits.captures(text).context("a read timeout")?[1].parse()?;
        ensure!(Duration::from_secs(limit) > 2 * HEARTBEAT, "{limit} s are too short");
    }
    Ok(())
}

#[test]
fn the_rules_for_caddy_are_those_for_nginx() -> Result<()> {
    let (rules, _) = rules_of_nginx(&page("deploy/front/nginx.conf")?)?;
    let reads = "^(GET|HEAD) ";
    let paths: Vec<&str> =
        rules.iter().filter_map(|(pattern, _)| pattern.as_str().strip_prefix(reads)).collect();
    let [identity, api] = paths[..] else { anyhow::bail!("two rules for what reads: {paths:?}") };
    let caddy = page("deploy/front/Caddyfile")?;
    for line in [
        "method GET HEAD".to_owned(),
        format!("path {api}*"),
        format!("not path_regexp ^{identity}"),
    ] {
        ensure!(caddy.lines().any(|found| found.trim() == line), "no line `{line}`");
    }
    Ok(())
}
