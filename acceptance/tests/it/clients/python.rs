//! Python: a client by `openapi-python-client`, checked by mypy, strictly.

use super::Language;
use crate::tools::{PIP, Tools, with_packages};

pub(super) const LANGUAGE: Language = Language {
    name: "Python",
    tools: Tools {
        name: "python-client",
        source: "acceptance/clients/python",
        installer: "python3",
        pins: "requirements.txt",
        settings: &["mypy.ini"],
        install: PIP,
    },
    end: "py",
    generate: |description| {
        format!(
            "openapi-python-client generate --url \"$API{}\" --meta none --output-path {}",
            description.path, description.client
        )
    },
    strictly: " --fail-on-warning",
    check: "python3 -m mypy --no-color-output .",
    run: "python3 shop.py",
    equip: |command, tools, _| with_packages(command, tools),
    // mistakes.py:16: error: Missing positional argument "name" in call to …  [call-arg]
    mistake: |line| {
        let (file, rest) = line.split_once(':')?;
        let (row, message) = rest.split_once(": error: ")?;
        let (_, code) = message.rsplit_once('[')?;
        Some((file, row.parse().ok()?, code.trim_end_matches(']')))
    },
};
