//! The work tables: the fold of the log (`work/fold.rs` and its SQL), and how drivers take the
//! instance and give it back (`claim.sql`, `judge.rs`, `release.sql`, `forget.sql`, `sweep.sql`).

use std::collections::BTreeMap;

use saga::instance::Status;

use super::Mutant;
use super::book::Said;
use super::state::{Driver, Due, Entry, GHOST, Job, Loaded, Row, State};

/// What a batch says about the instance.
#[derive(Default)]
struct News {
    /// Whether the batch says which saga it is.
    saga: bool,
    begun: bool,
    version: u8,
    started: bool,
    ended: bool,
    received: u8,
    signals: BTreeMap<u8, Said>,
}

impl News {
    fn of(log: &[Entry], from: usize) -> Self {
        let mut news = Self::default();
        for (entry, position) in log.iter().zip(1_u8..).skip(from) {
            match entry {
                Entry::Wanted => (news.saga, news.begun) = (true, true),
                Entry::Said(said) => {
                    news.saga = true;
                    news.signals.insert(position, *said);
                }
                Entry::Own { version, started, ended, received } => {
                    (news.version, news.ended) = (*version, *ended);
                    if *started {
                        (news.saga, news.started, news.begun) = (true, true, false);
                    }
                    if *received > 0 {
                        news.received = *received;
                        news.signals.retain(|at, _| at > received);
                    }
                }
            }
        }
        news
    }
}

/// Folds all of the log. Rows and checkpoint are one transaction.
pub(super) fn fold(state: &mut State, mutant: Option<Mutant>) {
    let from = state.folded;
    state.folded = state.log.len();
    if mutant == Some(Mutant::CheckpointFirst) {
        state.unwritten = Some(from);
    } else {
        write(state, from, mutant);
    }
}

/// Writes the rows of the entries from there to the checkpoint.
pub(super) fn write(state: &mut State, from: usize, mutant: Option<Mutant>) {
    let news = News::of(state.log.get(..state.folded).unwrap_or_default(), from);
    let now = state.clock;
    state.unwritten = None;
    state.signals.retain(|at, _| *at > news.received);
    if news.begun {
        let row = state.row.get_or_insert_with(|| Row { begun: true, ..Row::due_at(now) });
        if !row.begun && row.version == 0 {
            (row.begun, row.due, row.news) = (true, Due::At(now), row.news + 1);
        }
    }
    let is_over = news.ended && (news.signals.is_empty() || mutant == Some(Mutant::EndDropsNews));
    if news.version > 0 && !is_over {
        match &mut state.row {
            Some(row) if row.version < news.version => {
                (row.version, row.due) = (news.version, Due::At(now));
            }
            None if news.saga && (news.started || news.received > 0) => {
                state.row = Some(Row { version: news.version, ..Row::due_at(now) });
            }
            _ => {}
        }
    }
    if !news.signals.is_empty() {
        match &mut state.row {
            Some(row) => (row.due, row.news) = (row.due.by(now), row.news + 1),
            None => state.row = Some(Row::due_at(now)),
        }
        for (at, said) in &news.signals {
            state.signals.entry(*at).or_insert(*said);
        }
    }
    let may_go = state.signals.is_empty() || mutant == Some(Mutant::EndDropsNews);
    if is_over && may_go && state.row.as_ref().is_some_and(|row| row.version <= news.version) {
        state.row = None;
    }
}

/// Whether an idle driver may take the instance now.
pub(super) fn is_claimable(state: &State, mutant: Option<Mutant>) -> bool {
    let is_free = |row: &Row| row.driver.is_none() || mutant == Some(Mutant::NoLease);
    state.row.as_ref().is_some_and(|row| {
        let is_due = match row.due {
            Due::Never => false,
            Due::At(at) => at <= state.clock,
            Due::Someday => state.is_folded(),
        };
        is_due && is_free(row)
    })
}

/// The driver takes the instance with its signals.
pub(super) fn claim(state: &mut State, who: usize, mutant: Option<Mutant>) -> Option<()> {
    let row = state.row.as_mut()?;
    row.driver = Some(id_of(who));
    state.drivers[who] = Driver::Claimed(Job {
        begun: row.begun,
        signals: state.signals.iter().map(|(at, said)| (*at, *said)).collect(),
        news: row.news,
        moved: false,
    });
    if mutant == Some(Mutant::HeardTooEarly) {
        state.signals.clear();
    }
    Some(())
}

/// The driver gives the instance back with what it knows.
pub(super) fn release(state: &mut State, who: usize, mutant: Option<Mutant>) -> Option<()> {
    let idle = Driver::Idle;
    let Driver::Rested(job, loaded, failed) = std::mem::replace(&mut state.drivers[who], idle)
    else {
        return None;
    };
    let status = loaded.known.status();
    let (version, due, heard) =
        if failed { (0, Due::At(state.clock), 0) } else { rested(&job, &loaded) };
    let over = !failed && (status == Status::Absent || (status.is_end() && !job.moved));
    state.signals.retain(|at, _| *at > heard);
    let now = state.clock;
    let row = state.row.as_mut().filter(|row| row.driver == Some(id_of(who)));
    let Some(row) = row else { return Some(()) };
    let has_news = row.news > job.news && mutant != Some(Mutant::ReleaseDropsNews);
    if over && row.version <= version && !has_news {
        state.row = None;
        return Some(());
    }
    let is_behind = version > 0 && row.version > version && !is_deaf(mutant);
    row.driver = None;
    row.due = if has_news || is_behind { Due::At(now) } else { due };
    row.begun &= version == 0;
    row.version = row.version.max(version);
    Some(())
}

fn is_deaf(mutant: Option<Mutant>) -> bool {
    mutant == Some(Mutant::ReleaseDropsNews)
}

/// The version that it knows, when it is due next, and up to where it has received signals.
fn rested(job: &Job, loaded: &Loaded) -> (u8, Due, u8) {
    let taken = job.signals.last().map_or(0, |(at, _)| *at);
    let status = loaded.known.status();
    let due = if status.is_end() { Due::Someday } else { loaded.known.due_at.into() };
    (loaded.version, due, taken.max(loaded.known.heard()))
}

/// The row of a driver that is gone is free again.
pub(super) fn sweep(state: &mut State) {
    let now = state.clock;
    if let Some(row) = &mut state.row {
        (row.driver, row.due) = (None, row.due.by(now));
    }
}

/// Whether the row belongs to a driver that is gone.
pub(super) fn is_stray(state: &State) -> bool {
    state.row.as_ref().is_some_and(|row| row.driver == Some(GHOST))
}

/// The id of a driver in the row.
pub(super) fn id_of(who: usize) -> u8 {
    u8::try_from(who).unwrap()
}
