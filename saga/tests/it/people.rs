//! What people decide about instances, and what follows, in virtual time.

use saga::instance::{Decision, Leg, Part, Refused, Status};
use saga::test_kit::Story;

use crate::stories::{SECOND, cancel, delivering, lending, parked};

#[test]
fn a_compensation_that_fails_is_repeated_and_then_parked_for_a_person() {
    let definition = lending();
    let mut story = parked(&definition);
    let resumed = story.clone().operated(Decision::Resume);
    resumed.undone("deliver").undone("reserve").is(Status::Compensated);
    let deliver = || "deliver".to_owned();
    let retried = story.clone().operated(Decision::Retry { step: deliver() });
    retried.is(Status::Compensating);
    story =
        story.refuses(Decision::GiveUp { reason: "no".into() }, &Refused::Status(Status::Parked));
    let reason = "paid by hand".to_owned();
    let skipped = story.operated(Decision::SkipCompensation { step: deliver(), reason });
    skipped.undone("reserve").is(Status::Compensated);
}

#[test]
fn a_compensation_that_was_refused_resumes_with_a_new_key_and_one_without_an_answer_does_not() {
    let definition = lending();
    let key = |story: &Story<'_>| story.instance().call_of("deliver", Part::Compensation);
    let undoing = || {
        let failed = delivering(&definition).done("deliver").anyway();
        failed.operated(Decision::GiveUp { reason: "hopeless".to_owned() })
    };
    let refused = undoing().undo_rejected("deliver", "no such parcel").is(Status::Parked);
    let first = key(&refused);
    let again = refused.operated(Decision::Resume).is(Status::Compensating);
    assert_ne!(key(&again), first, "the other side would repeat its refusal");
    let mut unknown = undoing();
    while unknown.instance().status == Status::Compensating {
        unknown = unknown.undo_fails("deliver", "away");
        if unknown.instance().due_at().is_some() {
            unknown = unknown.later();
        }
    }
    let first = key(&unknown);
    let again = unknown.operated(Decision::Resume).is(Status::Compensating);
    assert_eq!(key(&again), first, "an effect may have taken place under this key");
}

#[test]
fn a_step_that_cannot_go_on_waits_for_a_person_however_long_and_goes_on_under_its_key() {
    let definition = lending();
    let key = |story: &Story<'_>| story.instance().call_of("deliver", Part::Action);
    let stuck = delivering(&definition).stuck("deliver", "the address is refused").then(&[
        "step_failed deliver #1: the address is refused, again, unknown effect",
        "parked: deliver cannot go on: the address is refused",
    ]);
    let first = key(&stuck);
    let days = SECOND * 86_400 * 3;
    let resumed = stuck
        .clone()
        .after(days)
        .then(&[])
        .operated(Decision::Resume)
        .then(&["resumed by somebody", "step_requested deliver #2 by somebody"])
        .after(SECOND)
        .then(&[]);
    assert_eq!(key(&resumed), first);
    resumed.done("deliver").then(&["step_succeeded deliver #2", "step_requested note #1"]);
    // It may have had an effect, so giving up undoes it.
    stuck.operated(Decision::GiveUp { reason: "hopeless".to_owned() }).then(&[
        "resumed by somebody",
        "compensating by somebody: hopeless",
        "compensation_requested deliver #1",
    ]);
}

#[test]
fn a_step_that_gets_stuck_in_a_parked_saga_leaves_it_parked_as_it_was() {
    let definition = lending();
    delivering(&definition)
        .operated(Decision::Park { reason: "wait".to_owned() })
        .anyway()
        .stuck("deliver", "refused")
        .then(&["step_failed deliver #1: refused, again, unknown effect"])
        .operated(Decision::Resume)
        .is(Status::Running);
}

#[test]
fn a_compensation_that_cannot_go_on_is_parked_at_once_and_keeps_its_key() {
    let definition = lending();
    let key = |story: &Story<'_>| story.instance().call_of("deliver", Part::Compensation);
    let undoing = delivering(&definition).hears(cancel());
    let stuck = undoing.undo_stuck("deliver", "no access").is(Status::Parked);
    let first = key(&stuck);
    let again = stuck.operated(Decision::Resume).is(Status::Compensating);
    assert_eq!(key(&again), first, "an effect may have taken place under this key");
    again.undone("deliver").undone("reserve").is(Status::Compensated);
}

#[test]
fn people_repeat_a_step_now_give_up_and_park() {
    let definition = lending();
    let resting = delivering(&definition)
        .fails("deliver", "busy")
        .then(&["step_failed deliver #1: busy, again, unknown effect"]);
    let deliver = || "deliver".to_owned();
    resting
        .clone()
        .operated(Decision::Retry { step: deliver() })
        .then(&["step_requested deliver #2 by somebody"])
        .refuses(
            Decision::Retry { step: deliver() },
            &Refused::NotWaiting { step: deliver(), part: Part::Action },
        );
    let reason = || "hopeless".to_owned();
    resting
        .clone()
        .operated(Decision::GiveUp { reason: reason() })
        .then(&["compensating by somebody: hopeless", "compensation_requested deliver #1"]);
    resting
        .operated(Decision::Park { reason: reason() })
        .then(&["parked by somebody: hopeless"])
        .operated(Decision::Resume)
        .then(&["resumed by somebody"])
        .later()
        .then(&["step_requested deliver #2"]);
}

#[test]
fn a_saga_that_is_cancelled_while_it_is_parked_is_undone_when_it_resumes() {
    let definition = lending();
    delivering(&definition)
        .operated(Decision::Park { reason: "wait".to_owned() })
        .hears(cancel())
        .then(&["parked by somebody: wait", "signal_received cancel", "compensating: not wanted"])
        .is(Status::Parked)
        .hears(cancel())
        .then(&[])
        .operated(Decision::Resume)
        .then(&["resumed by somebody", "compensation_requested deliver #1"])
        .is(Status::Compensating);
}

#[test]
fn a_compensation_that_a_person_repeats_has_its_own_deadline() {
    let definition = lending();
    let resting = delivering(&definition).hears(cancel()).undo_fails("deliver", "away");
    let deliver = || "deliver".to_owned();
    let first = resting.instance().steps["deliver"].compensation;
    let retried = resting.after(SECOND / 4).operated(Decision::Retry { step: deliver() });
    let second = retried.instance().steps["deliver"].compensation;
    let (Leg::Resting { deadline: before, .. }, Leg::Requested { deadline: after, .. }) =
        (first, second)
    else {
        panic!("{first:?} {second:?}");
    };
    assert_eq!((after - before).to_std(), Ok(SECOND / 4));
}
