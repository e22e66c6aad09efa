//! Tests of the checker: it finds every violation in a hand-made history, and none in a correct
//! one.

use super::{Answer, Asked, Entry, History, Line, Refused, Said, Wanted, check};
use uuid::Uuid;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Makes a line of a client's record.
fn line(client: u64, at: u64, said: Said) -> Line {
    Line { client, at, said }
}

fn append(stream: &str, expected: Option<i64>, event: u128) -> Wanted {
    Wanted { streams: vec![(stream.to_owned(), expected, vec![id(event)])], ..Wanted::default() }
}

fn asked(client: u64, at: u64, wanted: Wanted) -> Line {
    line(client, at, Said::Began(Asked::Append(wanted)))
}

fn answered(client: u64, at: u64, answer: Answer) -> Line {
    line(client, at, Said::Ended(answer))
}

fn entry(position: i64, stream: &str, version: i64, event: u128) -> Entry {
    Entry {
        position,
        stream: stream.parse().unwrap(),
        version,
        id: id(event),
        tags: vec!["group:1".to_owned()],
    }
}

/// Makes a correct history. It has three appends one after the other, the third with a condition
/// and a key. Then a repeat, two refusals, a lost answer and two reads.
fn right() -> (Vec<Entry>, Vec<Line>) {
    let log = vec![
        entry(1, "thing-a", 1, 1),
        entry(2, "thing-b", 1, 2),
        entry(3, "thing-a", 2, 3),
        entry(4, "thing-c", 1, 4),
        entry(5, "thing-c", 2, 5),
    ];
    let guarded = Wanted {
        condition: Some(("group:1".to_owned(), 2)),
        key: Some(7),
        ..append("thing-a", Some(1), 3)
    };
    let repeat = Wanted { key: Some(7), ..append("thing-a", None, 33) };
    let two = Wanted {
        streams: vec![("thing-c".to_owned(), None, vec![id(4), id(5)])],
        ..Wanted::default()
    };
    let late = Wanted { condition: Some(("group:1".to_owned(), 1)), ..append("thing-d", None, 40) };
    let lines = vec![
        asked(1, 10, append("thing-a", Some(0), 1)),
        answered(1, 20, Answer::Appended(1)),
        asked(2, 30, append("thing-b", None, 2)),
        answered(2, 40, Answer::Appended(2)),
        asked(1, 50, guarded),
        answered(1, 60, Answer::Appended(3)),
        asked(1, 61, repeat),
        answered(1, 62, Answer::Repeated(3)),
        asked(2, 63, append("thing-a", Some(1), 41)),
        answered(
            2,
            64,
            Answer::Refused(Refused::Version { stream: "thing-a".to_owned(), actual: 2 }),
        ),
        asked(2, 65, late),
        answered(2, 66, Answer::Refused(Refused::Condition { position: 2 })),
        asked(3, 70, two),
        line(4, 71, Said::Began(Asked::ReadLog(1))),
        answered(4, 72, Answer::Read(vec![(2, id(2)), (3, id(3))])),
        line(4, 73, Said::Began(Asked::ReadTag("group:1".to_owned()))),
        answered(
            4,
            74,
            Answer::Read((1..=5).map(|n| (n, id(u128::try_from(n).unwrap()))).collect()),
        ),
    ];
    (log, lines)
}

fn found(change: impl FnOnce(&mut Vec<Entry>, &mut Vec<Line>)) -> Vec<&'static str> {
    let (mut log, mut lines) = right();
    change(&mut log, &mut lines);
    let mut found: Vec<_> =
        check(&History::new(log, lines)).into_iter().map(|violation| violation.invariant).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn a_right_history_violates_nothing() {
    assert_eq!(found(|_, _| {}), Vec::<&str>::new());
}

#[test]
fn i1_a_gap_and_a_repeated_version_are_found() {
    assert!(found(|log, _| log[4].position = 6).contains(&"I1"));
    assert!(found(|log, _| log[2].version = 1).contains(&"I1"));
}

#[test]
fn i2_an_acknowledged_append_that_is_lost_moved_or_doubled_is_found() {
    assert!(found(|log, _| log[1].id = id(99)).contains(&"I2"));
    assert!(found(|_, lines| lines[3] = answered(2, 40, Answer::Appended(1))).contains(&"I2"));
    assert_eq!(found(|log, _| log.push(entry(6, "thing-b", 2, 2))), ["I2"]);
}

#[test]
fn i3_an_append_before_what_was_acknowledged_before_it_began_is_found() {
    // The second client started after the first was answered, but its event comes first.
    let moved = found(|log, lines| {
        log.swap(0, 1);
        (log[0].position, log[1].position) = (1, 2);
        lines[1] = answered(1, 20, Answer::Appended(2));
        lines[3] = answered(2, 40, Answer::Appended(1));
        lines[14] = answered(4, 72, Answer::Read(vec![(2, id(1)), (3, id(3))]));
        lines[16] = answered(
            4,
            74,
            Answer::Read(vec![(1, id(2)), (2, id(1)), (3, id(3)), (4, id(4)), (5, id(5))]),
        );
    });
    assert_eq!(moved, ["I3"]);
}

#[test]
fn i4_a_broken_condition_and_an_unmet_version_are_found() {
    let older = Wanted {
        condition: Some(("group:1".to_owned(), 1)),
        key: Some(7),
        ..append("thing-a", Some(1), 3)
    };
    assert_eq!(found(|_, lines| lines[4] = asked(1, 50, older)), ["I4"]);
    let other = Wanted { key: Some(7), ..append("thing-a", Some(0), 3) };
    assert_eq!(found(|_, lines| lines[4] = asked(1, 50, other)), ["I4"]);
}

#[test]
fn i5_a_refused_append_that_is_there_is_found() {
    let refused = Answer::Refused(Refused::Condition { position: 1 });
    let late = Wanted { condition: Some(("group:1".to_owned(), 0)), ..append("thing-b", None, 2) };
    let there =
        found(|_, lines| (lines[2], lines[3]) = (asked(2, 30, late), answered(2, 40, refused)));
    assert!(there.contains(&"I5"), "{there:?}");
}

#[test]
fn i5_half_an_append_without_an_answer_is_found() {
    assert_eq!(
        found(|log, lines| {
            log.pop();
            lines[16] = answered(
                4,
                74,
                Answer::Read((1..=4).map(|n| (n, id(u128::try_from(n).unwrap()))).collect()),
            );
        }),
        ["I5"]
    );
}

#[test]
fn i5_an_event_that_nobody_asked_for_is_found() {
    assert_eq!(found(|log, _| log.push(entry(6, "thing-z", 1, 66))), ["I5"]);
}

#[test]
fn i5_a_refusal_for_what_never_was_is_found() {
    let version =
        |actual| Answer::Refused(Refused::Version { stream: "thing-a".to_owned(), actual });
    assert_eq!(
        found(|_, lines| lines[9] = answered(2, 64, version(3))),
        ["I5"],
        "it is not there yet"
    );
    assert_eq!(found(|_, lines| lines[9] = answered(2, 64, version(1))), ["I5"], "as wanted");
    assert_eq!(
        found(|_, lines| lines[8] = asked(2, 63, append("thing-a", Some(5), 41))),
        Vec::<&str>::new()
    );
    assert_eq!(
        found(|_, lines| lines[11] =
            answered(2, 66, Answer::Refused(Refused::Condition { position: 1 }))),
        ["I5"]
    );
    assert_eq!(
        found(|_, lines| lines[11] =
            answered(2, 66, Answer::Refused(Refused::Other("why".to_owned())))),
        ["I5"]
    );
}

#[test]
fn i6_a_read_with_a_gap_a_stranger_or_too_early_an_end_is_found() {
    let read = |events: &[(i64, u128)]| {
        Answer::Read(events.iter().map(|(position, event)| (*position, id(*event))).collect())
    };
    assert_eq!(found(|_, lines| lines[14] = answered(4, 72, read(&[(3, 3)]))), ["I6"], "a gap");
    assert_eq!(
        found(|_, lines| lines[14] = answered(4, 72, read(&[(2, 9), (3, 3)]))),
        ["I6"],
        "a stranger"
    );
    assert_eq!(
        found(|_, lines| lines[14] = answered(4, 72, read(&[(2, 2)]))),
        ["I6"],
        "what was acknowledged is missing"
    );
    assert_eq!(
        found(|_, lines| lines[16] = answered(4, 74, read(&[(1, 1), (3, 3)]))),
        ["I6"],
        "a gap among the tagged"
    );
}

#[test]
fn i12_a_key_with_two_effects_or_a_repeat_of_another_place_is_found() {
    let second = Wanted { key: Some(7), ..append("thing-b", None, 2) };
    assert_eq!(found(|_, lines| lines[2] = asked(2, 30, second)), ["I12"]);
    assert_eq!(found(|_, lines| lines[7] = answered(1, 62, Answer::Repeated(2))), ["I12"]);
}
