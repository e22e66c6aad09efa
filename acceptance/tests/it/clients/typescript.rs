//! TypeScript: types by `openapi-typescript`, requests by `openapi-fetch`.

use super::Language;
use crate::tools::{Tools, prefer};

pub(super) const LANGUAGE: Language = Language {
    name: "TypeScript",
    tools: Tools {
        name: "typescript-client",
        source: "acceptance/clients/typescript",
        installer: "npm",
        pins: "package-lock.json",
        settings: &["package.json", "tsconfig.json"],
        install: "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error",
    },
    end: "ts",
    generate: |description| {
        format!(
            "npx openapi-typescript \"$API{}\" --output {}.ts",
            description.path, description.client
        )
    },
    strictly: "",
    check: "tsc --pretty false",
    run: "node out/shop.js",
    equip: |command, tools, work| {
        let modules = work.join("node_modules");
        if !modules.exists() {
            std::os::unix::fs::symlink(tools.join("node_modules"), &modules)?;
        }
        // Nothing that is not installed is fetched instead.
        command.env("npm_config_offline", "true");
        prefer(command, &modules.join(".bin"))
    },
    // mistakes.ts(16,50): error TS2741: Property 'name' is missing in type …
    mistake: |line| {
        let (place, rest) = line.split_once("): error ")?;
        let (file, at) = place.split_once('(')?;
        let (row, _) = at.split_once(',')?;
        let (code, _) = rest.split_once(':')?;
        Some((file, row.parse().ok()?, code))
    },
};
