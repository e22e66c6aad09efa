//! Python: a client by `openapi-python-client`, checked by mypy, strictly.

use super::installed::Tools;
use super::{Language, prefer};

pub(super) const LANGUAGE: Language = Language {
    tools: Tools {
        name: "python",
        installer: "python3",
        pins: "requirements.txt",
        install: "python3 -m pip install --quiet --disable-pip-version-check --only-binary=:all: \
            --no-deps --target . --requirement requirements.txt",
        settings: &["mypy.ini"],
    },
    end: "py",
    generate: |description| {
        format!(
            "openapi-python-client generate --url \"${}{}\" --meta none --output-path {}",
            description.api, description.path, description.client
        )
    },
    strictly: " --fail-on-warning",
    check: "python3 -m mypy --no-color-output .",
    run: "python3 shop.py",
    equip: |command, tools, _| {
        command.env("PYTHONPATH", &tools.folder).env("PYTHONDONTWRITEBYTECODE", "1");
        prefer(command, &tools.folder.join("bin"))
    },
    // mistakes.py:16: error: Missing positional argument "name" in call to …  [call-arg]
    mistake: |line| {
        let (file, rest) = line.split_once(':')?;
        let (row, message) = rest.split_once(": error: ")?;
        let (_, code) = message.rsplit_once('[')?;
        Some((file, row.parse().ok()?, code.trim_end_matches(']')))
    },
};
