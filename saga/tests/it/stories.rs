//! The rules of the engine, one by one, in virtual time.

use std::time::Duration;

use saga::instance::{Answer, Decision, Part, Status};
use saga::test_kit::Story;
use saga::{Definition, Reason, Retry, Signal, Step, id};
use serde_json::{Value, json};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn twice() -> Retry {
    Retry { attempts: 2, first: SECOND, most: SECOND }
}

/// Reserve, deliver within a minute in two attempts, note.
pub(crate) fn lending() -> Definition {
    Definition::version(1)
        .then(Step::inside("reserve").undone_inside())
        .then(
            Step::outside("deliver")
                .undone_outside()
                .within(MINUTE)
                .retried(twice())
                .undo_retried(twice()),
        )
        .then(Step::inside("note"))
}

fn begun(definition: &Definition) -> Story<'_> {
    Story::of(definition)
        .starts("17", json!({"book": 17}))
        .then(&["started lending v1 17", "step_requested reserve #1"])
}

pub(crate) fn delivering(definition: &Definition) -> Story<'_> {
    begun(definition)
        .done("reserve")
        .then(&["step_succeeded reserve #1", "step_requested deliver #1"])
}

pub(crate) fn cancel() -> Signal {
    Signal::Cancel { reason: "not wanted".into() }
}

fn answer(answer: Answer) -> Signal {
    Signal::Answer { step: "deliver".into(), part: Part::Action, call: None, answer }
}

#[test]
fn steps_run_in_order_and_the_last_one_completes_the_saga() {
    let definition = lending();
    delivering(&definition)
        .done("deliver")
        .then(&["step_succeeded deliver #1", "step_requested note #1"])
        .done("note")
        .then(&["step_succeeded note #1", "completed"])
        .after(MINUTE * 60)
        .then(&[])
        .is(Status::Completed);
}

#[test]
fn a_saga_starts_once() {
    let definition = lending();
    begun(&definition).starts("17", json!({})).then(&[]);
}

#[test]
fn a_refused_step_undoes_those_before_it_in_reverse_order_and_not_itself() {
    let definition = Definition::version(1)
        .then(Step::inside("a").undone_inside())
        .then(Step::inside("b"))
        .then(Step::outside("c").undone_outside())
        .then(Step::outside("d").undone_outside());
    Story::of(&definition)
        .starts("17", json!({}))
        .done("a")
        .done("b")
        .done("c")
        .rejected("d", "no")
        .undone("c")
        .undone("a")
        .then(&[
            "started lending v1 17",
            "step_requested a #1",
            "step_succeeded a #1",
            "step_requested b #1",
            "step_succeeded b #1",
            "step_requested c #1",
            "step_succeeded c #1",
            "step_requested d #1",
            "step_failed d #1: no",
            "compensating: d failed: no",
            "compensation_requested c #1",
            "compensation_succeeded c #1",
            "compensation_requested a #1",
            "compensation_succeeded a #1",
            "compensated: d failed: no",
        ]);
}

#[test]
fn a_failed_attempt_is_repeated_after_its_pause_and_not_before() {
    let definition = lending();
    delivering(&definition)
        .fails("deliver", "busy")
        .then(&["step_failed deliver #1: busy, again, unknown effect"])
        .after(SECOND / 4)
        .then(&[])
        .later()
        .then(&["step_requested deliver #2"])
        .done("deliver")
        .then(&["step_succeeded deliver #2", "step_requested note #1"]);
}

#[test]
fn the_other_sides_wish_to_wait_is_kept() {
    let definition = lending();
    let retry_after = Some(SECOND * 30);
    let busy = Answer::Unavailable { reason: "busy".into(), retry_after };
    delivering(&definition)
        .answers("deliver", Part::Action, busy)
        .then(&["step_failed deliver #1: busy, again, unknown effect"])
        .after(SECOND * 29)
        .then(&[])
        .after(SECOND)
        .then(&["step_requested deliver #2"]);
}

#[test]
fn a_step_whose_effect_is_unknown_is_undone_too() {
    let definition = lending();
    delivering(&definition)
        .fails("deliver", "busy")
        .later()
        .fails("deliver", "lost")
        .then(&[
            "step_failed deliver #1: busy, again, unknown effect",
            "step_requested deliver #2",
            "step_failed deliver #2: lost, unknown effect",
            "compensating: deliver failed: lost",
            "compensation_requested deliver #1",
        ])
        .undone("deliver")
        .then(&["compensation_succeeded deliver #1", "compensation_requested reserve #1"]);
}

#[test]
fn an_answer_that_comes_later_ends_the_step_and_comes_once() {
    let definition = lending();
    delivering(&definition)
        .answers("deliver", Part::Action, Answer::Pending)
        .then(&["step_pending deliver #1"])
        .answers("deliver", Part::Action, Answer::Pending)
        .then(&[])
        .hears(answer(Answer::Done(json!({"parcel": 3}))))
        .then(&[
            "signal_received answer deliver",
            "step_succeeded deliver #1",
            "step_requested note #1",
        ])
        .hears_again(answer(Answer::Done(Value::Null)))
        .hears(answer(Answer::Done(Value::Null)))
        .hears(answer(Answer::Rejected("no".into())))
        .then(&[]);
}

#[test]
fn an_answer_that_never_comes_is_a_failure_with_unknown_effect() {
    let definition = lending();
    delivering(&definition).answers("deliver", Part::Action, Answer::Pending).later().then(&[
        "step_pending deliver #1",
        "timer_fired deadline deliver",
        "step_failed deliver #1: no outcome in time, unknown effect",
        "compensating: deliver failed: no outcome in time",
        "compensation_requested deliver #1",
    ]);
}

#[test]
fn a_success_that_comes_after_its_compensation_is_undone_once_more() {
    let definition = lending();
    let compensated = delivering(&definition)
        .answers("deliver", Part::Action, Answer::Pending)
        .later()
        .undone("deliver")
        .undone("reserve")
        .is(Status::Compensated);
    let mut late = compensated.clone().hears(answer(Answer::Done(Value::Null)));
    assert_eq!(late.instance().steps["deliver"].rounds, 1);
    late = late.is(Status::Compensating).undone("deliver").is(Status::Compensated);
    // The same answer again changes nothing.
    late.hears(answer(Answer::Done(Value::Null))).is(Status::Compensated);
    // A late refusal says that there was nothing to undo.
    compensated.hears(answer(Answer::Rejected("no".into()))).is(Status::Compensated);
}

#[test]
fn an_answer_to_the_first_of_two_compensations_does_not_end_the_second() {
    let definition = lending();
    let first = delivering(&definition)
        .answers("deliver", Part::Action, Answer::Pending)
        .hears(cancel())
        .answers("deliver", Part::Compensation, Answer::Pending)
        .hears(answer(Answer::Done(Value::Null)));
    let (instance, step) = (first.instance().id, "deliver");
    let undone = |round: u32| Signal::Answer {
        step: step.to_owned(),
        part: Part::Compensation,
        call: Some(id::of_compensation(instance, step, round)),
        answer: Answer::Done(Value::Null),
    };
    first
        .hears(undone(1))
        .answers("deliver", Part::Compensation, Answer::Pending)
        .then(&[
            "step_pending deliver #1",
            "signal_received cancel",
            "compensating: not wanted",
            "compensation_requested deliver #1",
            "compensation_pending deliver #1",
            "signal_received answer deliver",
            "step_succeeded deliver #1",
            "signal_received answer deliver",
            "compensation_succeeded deliver #1",
            "compensation_requested deliver #1",
            "compensation_pending deliver #1",
        ])
        .hears(undone(1))
        .then(&[])
        .hears(undone(2))
        .then(&[
            "signal_received answer deliver",
            "compensation_succeeded deliver #1",
            "compensation_requested reserve #1",
        ]);
}

#[test]
fn a_success_that_comes_during_its_compensation_is_undone_once_more() {
    let definition = lending();
    delivering(&definition)
        .answers("deliver", Part::Action, Answer::Pending)
        .hears(cancel())
        .then(&[
            "step_pending deliver #1",
            "signal_received cancel",
            "compensating: not wanted",
            "compensation_requested deliver #1",
        ])
        .hears(answer(Answer::Done(Value::Null)))
        .then(&["signal_received answer deliver", "step_succeeded deliver #1"])
        .undone("deliver")
        .then(&["compensation_succeeded deliver #1", "compensation_requested deliver #1"])
        .undone("deliver")
        .undone("reserve")
        .is(Status::Compensated);
}

#[test]
fn a_cancelled_saga_is_undone_and_one_that_has_ended_is_not() {
    let definition = lending();
    begun(&definition)
        .hears(cancel())
        .then(&["signal_received cancel", "compensating: not wanted", "compensated: not wanted"])
        .hears(cancel())
        .then(&[]);
    let ended = delivering(&definition).done("deliver").done("note").is(Status::Completed);
    ended.hears(cancel()).is(Status::Completed);
}

#[test]
fn a_saga_that_expires_is_undone() {
    let definition = lending().expiring_after(MINUTE / 2);
    delivering(&definition).answers("deliver", Part::Action, Answer::Pending).later().then(&[
        "step_pending deliver #1",
        "timer_fired expiry",
        "compensating: it did not complete in time",
        "compensation_requested deliver #1",
    ]);
}

#[test]
fn a_delayed_step_begins_at_its_time_once() {
    let definition =
        Definition::version(1).then(Step::inside("a")).then(Step::inside("b").delayed(MINUTE));
    Story::of(&definition)
        .starts("17", json!({}))
        .done("a")
        .after(SECOND * 59)
        .then(&[
            "started lending v1 17",
            "step_requested a #1",
            "step_succeeded a #1",
            "step_delayed b",
        ])
        .after(SECOND)
        .after(MINUTE)
        .then(&["timer_fired delay b", "step_requested b #1"]);
}

#[test]
fn steps_together_begin_together_and_the_next_waits_for_all() {
    let definition = Definition::version(1)
        .then_together([Step::outside("a").undone_outside(), Step::outside("b").undone_outside()])
        .then(Step::inside("c"));
    let both = Story::of(&definition).starts("17", json!({})).then(&[
        "started lending v1 17",
        "step_requested a #1",
        "step_requested b #1",
    ]);
    both.clone()
        .done("b")
        .then(&["step_succeeded b #1"])
        .done("a")
        .then(&["step_succeeded a #1", "step_requested c #1"]);
    // One fails while the other is under way: its outcome tells whether to undo it.
    let failed = both.rejected("a", "no").then(&["step_failed a #1: no"]);
    failed.clone().rejected("b", "no").is(Status::Compensated);
    failed
        .done("b")
        .then(&["step_succeeded b #1", "compensating: a failed: no", "compensation_requested b #1"])
        .undone("b")
        .then(&["compensation_succeeded b #1", "compensated: a failed: no"]);
}

#[test]
fn a_success_that_comes_while_its_compensation_is_parked_is_undone_under_another_key() {
    let definition = lending();
    let late = parked(&definition).hears(answer(Answer::Done(Value::Null)));
    assert_eq!(late.instance().steps["deliver"].rounds, 1);
    late.operated(Decision::Resume).undone("deliver").undone("reserve").is(Status::Compensated);
}

pub(crate) fn parked(definition: &Definition) -> Story<'_> {
    delivering(definition)
        .fails("deliver", "busy")
        .later()
        .fails("deliver", "busy")
        .undo_fails("deliver", "away")
        .later()
        .undo_fails("deliver", "away")
        .is(Status::Parked)
        .after(MINUTE * 600)
        .is(Status::Parked)
}

/// The end of a saga of one step whose other side is away for this time.
fn after_away(time: Duration) -> Status {
    let definition = Definition::version(1).then(Step::outside("deliver").undone_outside());
    let mut story = Story::of(&definition).starts("17", json!({}));
    let mut elapsed = Duration::ZERO;
    while !story.instance().status.is_end() {
        for due in story.instance().calls(&definition) {
            let answer = if elapsed < time {
                Answer::Unavailable { reason: "away".to_owned(), retry_after: None }
            } else {
                Answer::Done(Value::Null)
            };
            story = story.answers("deliver", due.part, answer);
        }
        elapsed += SECOND;
        assert!(elapsed < time + MINUTE * 30, "it does not end: {:?}", story.instance());
        story = story.after(SECOND);
    }
    story.instance().status
}

#[test]
fn without_settings_a_short_absence_is_waited_for_and_a_long_one_needs_no_person() {
    assert_eq!(after_away(MINUTE), Status::Completed);
    assert_eq!(after_away(MINUTE * 10), Status::Completed);
    assert_eq!(after_away(MINUTE * 30), Status::Compensated);
    assert_eq!(after_away(MINUTE * 60 * 12), Status::Compensated);
}

#[test]
fn what_is_undone_anyway_is_undone_before_the_steps_in_front_of_it_though_it_never_began() {
    let definition = Definition::version(1)
        .then(Step::outside("charge").undone_outside())
        .then(Step::inside("open").undone_inside().undone_anyway());
    let why = Reason { text: "no funds".into(), details: json!({"code": 7}) };
    let undoing = Story::of(&definition).starts("17", json!({})).rejected("charge", why);
    assert_eq!(undoing.instance().undoing.as_ref().unwrap().details, json!({"code": 7}));
    undoing
        .anyway()
        .undone("open")
        .then(&["compensation_succeeded open #1", "compensated: charge failed: no funds"])
        .is(Status::Compensated);
    Story::of(&definition)
        .starts("17", json!({}))
        .fails("charge", "away")
        .hears(cancel())
        .anyway()
        .undone("open")
        .then(&["compensation_succeeded open #1", "compensation_requested charge #1"])
        .undone("charge")
        .is(Status::Compensated);
}
