//! The addresses of the stack, as people and programs see them.

use comfy_table::Table;

use crate::endpoints::Endpoints;
use crate::output::answer;

/// Prints the addresses: for people without passwords, for programs as in `endpoints.json`.
pub(crate) fn show(endpoints: &Endpoints, json: bool) -> anyhow::Result<()> {
    if json {
        answer(serde_json::to_string_pretty(endpoints)?)?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "where", "admin (livez, readyz, metrics)"]);
    table.add_row(["front (both APIs)", &endpoints.front, &endpoints.admin.front]);
    table.add_row(["command-api", &endpoints.command_api, &endpoints.admin.command_api]);
    table.add_row(["query-api", &endpoints.query_api, &endpoints.admin.query_api]);
    table.add_row(["event-relay", "", &endpoints.admin.event_relay]);
    table.add_row(["projector", "", &endpoints.admin.projector]);
    table.add_row(["process-manager", "", &endpoints.admin.process_manager]);
    table.add_row(["sandbox (payments, shipping)", &endpoints.sandbox, &endpoints.admin.sandbox]);
    table.add_row(["PostgreSQL", &without_password(&endpoints.postgres), "cargo stack psql"]);
    table.add_row(["NATS", &without_password(&endpoints.nats), ""]);
    if let Some(rabbitmq) = &endpoints.rabbitmq {
        table.add_row(["RabbitMQ", &without_password(rabbitmq), ""]);
    }
    answer(table)?;
    Ok(())
}

fn without_password(address: &str) -> String {
    let parts = || {
        let (scheme, rest) = address.split_once("://")?;
        let (user, host) = rest.split_once('@')?;
        Some(format!("{scheme}://{}@{host}", user.split(':').next()?))
    };
    parts().unwrap_or_default()
}
