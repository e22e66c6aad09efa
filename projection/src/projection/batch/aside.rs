//! Folds events into rows and sets aside what a row refuses.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Step, Touched};
use crate::projection::parking::{Parking, TooManyParked};
use crate::projection::past::Past;
use crate::projection::{Incoming, Only, Projection, Reason, RowKey as _, WriteError, guard};

/// Folds these steps and sets refused events aside. Fails only if no more may be parked.
pub(in crate::projection) fn fold_aside<P: Projection>(
    steps: &[Step<P>],
    (rows, past): (&mut Touched<P>, &mut Past<P>),
    only: &Only,
    parking: &mut Parking,
) -> Result<(), WriteError> {
    for event in steps.chunk_by(|a, b| a.position() == b.position()) {
        let Some(position) = event.first().map(Step::position) else { continue };
        fold_event::<P>(event, (&mut *rows, &mut *past), only, parking)
            .map_err(|full| WriteError::Fold(position, full))?;
    }
    Ok(())
}

/// Applies all fragments of one stored event to a row, or none of them.
pub(in crate::projection) fn fold_event<P: Projection>(
    event: &[Step<P>],
    (rows, past): (&mut Touched<P>, &mut Past<P>),
    only: &Only,
    parking: &mut Parking,
) -> Result<(), Reason> {
    let mut fragments = Vec::new();
    for step in event {
        match step {
            Step::Fold(incoming, keys) => fragments.push((incoming, keys)),
            Step::Blank(erased, of) => {
                blank_rows::<P>(erased, of.as_deref(), rows, (only, parking))?;
                past.erase(erased, of.as_deref(), rows)?;
            }
        }
    }
    let Some(position) = fragments.first().map(|(fragment, _)| fragment.position) else {
        return Ok(());
    };
    let keys: BTreeSet<&P::Key> =
        fragments.iter().flat_map(|(_, keys)| *keys).filter(|key| only.has(*key)).collect();
    for key in keys {
        let text = key.text();
        if parking.skips(position, &text) {
            continue;
        }
        let before = rows.remove(key);
        let absent = before.is_none();
        if !P::COMMUTES && parking.holds(&text) {
            parking.hold_back(position, text, absent)?;
            rows.extend(before.map(|row| (key.clone(), row)));
            continue;
        }
        let folded = fold_row::<P>(key, before.clone(), &fragments).and_then(|row| {
            let last = fragments.iter().rfind(|(_, keys)| keys.contains(key));
            if let (Some(row), Some((last, _))) = (&row, last) {
                past.record(key, row, last)?;
            }
            Ok(row)
        });
        match folded {
            Ok(row) => rows.extend(row.map(|row| (key.clone(), row))),
            Err(reason) => {
                parking.refuse(position, text, &reason, absent)?;
                rows.extend(before.map(|row| (key.clone(), row)));
            }
        }
    }
    Ok(())
}

/// Blanks the subject's fields at once. In rows that lack events, it blanks them again in turn.
fn blank_rows<P: Projection>(
    erased: &Incoming<Uuid>,
    of: Option<&[P::Key]>,
    rows: &mut Touched<P>,
    (only, parking): (&Only, &mut Parking),
) -> Result<(), TooManyParked> {
    let mut held: BTreeSet<P::Key> = match of {
        Some(keys) => keys
            .iter()
            .filter(|key| only.has(*key) && parking.holds(&key.text()))
            .cloned()
            .collect(),
        // It is unknown whose a row will be that does not exist yet.
        None => {
            parking.held_keys().filter(|key| only.has(key) && !rows.contains_key(key)).collect()
        }
    };
    for (key, row) in rows.iter_mut() {
        match guard::blank::<P>(row, erased) {
            Ok(blanked) => {
                if of.is_none() && parking.holds(&key.text()) && changes(row, &blanked) {
                    held.insert(key.clone());
                }
                *row = blanked;
            }
            Err(reason) => {
                held.remove(key);
                parking.refuse(erased.position, key.text(), &reason, false)?;
            }
        }
    }
    for key in held {
        let absent = !rows.contains_key(&key);
        parking.hold_back(erased.position, key.text(), absent)?;
    }
    Ok(())
}

/// Whether two rows differ. If that cannot be determined, they count as different.
pub(in crate::projection) fn changes<R: serde::Serialize>(before: &R, after: &R) -> bool {
    match (serde_json::to_value(before), serde_json::to_value(after)) {
        (Ok(before), Ok(after)) => before != after,
        _ => true,
    }
}

/// An event with the keys that it touches.
type Touching<'a, P> = (&'a Incoming<<P as Projection>::Event>, &'a Vec<<P as Projection>::Key>);

fn fold_row<P: Projection>(
    key: &P::Key,
    mut row: Option<P::Row>,
    fragments: &[Touching<'_, P>],
) -> Result<Option<P::Row>, Reason> {
    for (fragment, keys) in fragments {
        for _ in keys.iter().filter(|touched| *touched == key) {
            row = Some(guard::fold::<P>(key, row, fragment)?);
        }
    }
    Ok(row)
}
