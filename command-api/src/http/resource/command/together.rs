//! Atomic batches: the commands of a request as one append, or nothing.

use std::sync::Arc;

use axum::http::{Extensions, StatusCode};
use event_store::Appended;
use service_kit::Problem;

use crate::application::batch::{Batch, Joined};
use crate::application::idempotency::Part;
use crate::application::{Attempted, Begun, Refused, Replayed};
use crate::http::Api;
use crate::http::answer::Changed;
use crate::http::commands::{Command, CommandResult, Place, Registry};
use crate::http::received::About;

type Answered = (Vec<CommandResult>, Option<Place>);

/// The first command that is refused.
struct First {
    index: usize,
    result: CommandResult,
}

/// Runs the commands together.
///
/// # Errors
/// A problem of the batch as a whole. The refusal of one command is a result.
pub(super) async fn run(
    api: &Api,
    registry: &Registry,
    commands: Vec<Command>,
    about: &About,
    extensions: &Extensions,
) -> Result<Answered, Problem> {
    let mut attempts = match api.application.together(about.context.clone(), about.dry_run).await? {
        Begun::Replayed(earlier) => return again(api, registry, &commands, &earlier),
        Begun::New(attempts) => attempts,
    };
    loop {
        let batch = Arc::new(Batch::default());
        let results = match decide(registry, &commands, &batch, about.dry_run, extensions).await {
            Ok(results) => results,
            Err(first) => match attempts.earlier().await? {
                Some(earlier) => return again(api, registry, &commands, &earlier),
                None => return Ok((all_but(commands.len(), first), None)),
            },
        };
        match attempts.append(&batch).await {
            Ok(Attempted::Done(appended)) => return Ok((results, Some(place(api, &appended)))),
            Ok(Attempted::DryRun) => return Ok((results, None)),
            Ok(Attempted::Replayed(earlier)) => return again(api, registry, &commands, &earlier),
            Ok(Attempted::Again) => {}
            Err(Refused::One(index, error)) => {
                let result = Problem::from(error).into();
                return Ok((all_but(commands.len(), First { index, result }), None));
            }
            Err(Refused::All(error)) => return Err(error.into()),
        }
    }
}

/// Decides all commands, each on what the ones before it leave, up to the first that is refused.
async fn decide(
    registry: &Registry,
    commands: &[Command],
    batch: &Arc<Batch>,
    dry_run: bool,
    extensions: &Extensions,
) -> Result<Vec<CommandResult>, First> {
    let mut extensions = extensions.clone();
    extensions.insert(Arc::clone(batch));
    let mut results = Vec::with_capacity(commands.len());
    for (index, command) in commands.iter().enumerate() {
        let result = registry.run(command.clone(), dry_run, &extensions).await;
        let (result, _) = result.unwrap_or_else(|problem| (problem.into(), None));
        if !result.is_success() {
            return Err(First { index, result });
        }
        results.push(result);
    }
    Ok(results)
}

/// The answer of an earlier request with the same key.
fn again(
    api: &Api,
    registry: &Registry,
    commands: &[Command],
    earlier: &Replayed,
) -> Result<Answered, Problem> {
    let results = earlier.joined.iter().zip(commands).map(|(joined, command)| {
        CommandResult::replayed(&changed(joined), registry.creates(command))
    });
    Ok((results.collect::<Result<_, _>>()?, Some(place(api, &earlier.appended))))
}

/// The result of the refused command, and of the others, which were not carried out either.
fn all_but(count: usize, first: First) -> Vec<CommandResult> {
    let mut results: Vec<CommandResult> = (0..count)
        .map(|_| {
            let title = "Another command of the batch was refused, so none was carried out";
            Problem::new(StatusCode::FAILED_DEPENDENCY, "command/not-carried-out", title).into()
        })
        .collect();
    if let Some(result) = results.get_mut(first.index) {
        *result = first.result;
    }
    results
}

fn changed(joined: &Joined) -> Changed {
    let Joined { answer, version } = *joined;
    Changed {
        id: answer.id,
        version,
        line_id: answer.part.and_then(Part::line),
        address_id: answer.part.and_then(Part::address),
    }
}

fn place(api: &Api, appended: &Appended) -> Place {
    Place {
        position: appended.last.position.0,
        epoch: appended.epoch.0,
        consistency_token: Some(api.token(appended)),
    }
}
