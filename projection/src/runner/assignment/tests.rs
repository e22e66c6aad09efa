//! Tests the rules of sharing, with processes that start, stop and have different code.

use proptest::prelude::*;

use super::*;

/// Processes with the same view, which act one after another in some order.
struct World {
    members: HashMap<Uuid, HashSet<String>>,
    held: HashMap<String, Uuid>,
    places: Vec<Place>,
    /// The processes that keep their partitions.
    patient: HashSet<Uuid>,
}

impl World {
    fn new(generations: &[i32], processes: u128) -> Self {
        let places: Vec<Place> = generations
            .iter()
            .enumerate()
            .flat_map(|(number, partitions)| {
                (0..*partitions).map(move |partition| Place {
                    lease: format!("p{number}_g1/{partition}"),
                    fold: format!("p{number} 1 x"),
                })
            })
            .collect();
        let folds: HashSet<String> = places.iter().map(|place| place.fold.clone()).collect();
        let members =
            (1..=processes).map(|number| (Uuid::from_u128(number), folds.clone())).collect();
        Self { members, held: HashMap::new(), places, patient: HashSet::new() }
    }

    fn assignment(&self, me: Uuid) -> Assignment {
        let (able, patient) = (self.members.contains_key(&me), self.patient.contains(&me));
        Assignment {
            me,
            able,
            members: self.members.clone(),
            held: self.held.clone(),
            terms: HashMap::new(),
            patient,
        }
    }

    fn of(&self, owner: Uuid) -> Vec<Place> {
        self.places
            .iter()
            .filter(|place| self.held.get(&place.lease) == Some(&owner))
            .cloned()
            .collect()
    }

    /// One process checks and acts. Returns the number of partitions that it moved. `waited`
    /// means that the free partitions have been free for long.
    fn acts(&mut self, me: Uuid, waited: bool) -> usize {
        let mut assignment = self.assignment(me);
        let given = assignment.surplus(&self.of(me));
        for lease in &given {
            self.held.remove(lease);
        }
        let free: Vec<Place> = self
            .places
            .iter()
            .filter(|place| !self.held.contains_key(&place.lease))
            .cloned()
            .collect();
        let long_ago = Instant::now() - GRACE * 2;
        let since =
            free.iter().filter(|_| waited).map(|place| (place.lease.clone(), long_ago)).collect();
        let free: Vec<Place> =
            free.into_iter().filter(|place| !given.contains(&place.lease)).collect();
        let taken = assignment.acquisitions(&free, &since);
        if taken.values().any(|was_left| *was_left) {
            self.patient.insert(me);
        }
        self.held.extend(taken.keys().map(|lease| (lease.clone(), me)));
        given.len() + taken.len()
    }

    fn counts(&self) -> Vec<usize> {
        let mut counts: Vec<usize> =
            self.members.keys().map(|owner| self.of(*owner).len()).collect();
        counts.sort_unstable();
        counts
    }

    fn settles(&mut self, order: &[u128]) {
        for _ in 0..100 {
            let mut moves = 0;
            for number in order {
                moves += self.acts(Uuid::from_u128(*number), false);
            }
            if moves == 0 {
                return;
            }
        }
        panic!("partitions go on moving: {:?}", self.held);
    }
}

proptest! {
    #[test]
    fn however_many_come_all_parts_are_held_and_shared_evenly_and_then_stay(
        generations in prop::collection::vec(1..9_i32, 1..5),
        processes in 1..7_u128,
        order in Just((1..7_u128).collect::<Vec<_>>()).prop_shuffle(),
        first in 1..7_u128,
    ) {
        let mut world = World::new(&generations, processes);
        let order: Vec<u128> = order.into_iter().filter(|number| *number <= processes).collect();
        // One was there alone before the others came.
        let first = Uuid::from_u128(1 + first % processes);
        for place in &world.places {
            world.held.insert(place.lease.clone(), first);
        }
        world.settles(&order);
        prop_assert_eq!(world.held.len(), world.places.len());
        let counts = world.counts();
        prop_assert!(counts.last().unwrap_or(&0) - counts[0] <= 1, "{:?}", counts);
        for (number, partitions) in generations.iter().enumerate() {
            let generation = format!("p{number}_g1");
            for owner in world.members.keys() {
                let (of_it, _) = world.assignment(*owner).load(*owner, &generation);
                let share = usize::try_from(*partitions).unwrap_or(0) / world.members.len();
                prop_assert!((share..=share + 1).contains(&of_it), "{of_it} of {partitions} of \
                    {generation}");
            }
        }
    }

    #[test]
    fn when_one_goes_the_others_have_all_of_its_parts_at_once(partitions in 1..20_i32,
        processes in 2..6_u128, gone in 0..6_u128) {
        let mut world = World::new(&[partitions], processes);
        let order: Vec<u128> = (1..=processes).collect();
        world.settles(&order);
        let gone = Uuid::from_u128(1 + gone % processes);
        world.members.remove(&gone);
        world.held.retain(|_, owner| *owner != gone);
        for number in order.iter().filter(|number| Uuid::from_u128(**number) != gone) {
            world.acts(Uuid::from_u128(*number), false);
        }
        prop_assert_eq!(world.held.len(), world.places.len());
    }
}

#[test]
fn what_nobody_else_takes_is_taken_after_a_while_and_what_another_cannot_fold_is_not_left_to_it() {
    let mut world = World::new(&[4], 2);
    let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    world.acts(me, false);
    assert_eq!(
        world.of(me).len(),
        2,
        "the rest belongs to the other process while it may still come"
    );
    for _ in 0..2 {
        world.acts(me, true);
    }
    assert_eq!((world.of(me).len(), world.acts(me, true)), (4, 0), "no wake-up arrived");
    world.patient.clear();
    world.members.insert(other, HashSet::new());
    assert_eq!(world.acts(me, false), 0, "it does not know this fold");
}

#[test]
fn who_cannot_read_the_log_leaves_all_to_those_who_can_and_keeps_it_when_nobody_can() {
    let mut world = World::new(&[3, 1], 2);
    world.settles(&[1, 2]);
    let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    world.members.remove(&me);
    world.acts(me, true);
    world.acts(other, false);
    assert_eq!((world.of(me).len(), world.of(other).len()), (0, 4));
    world.members.remove(&other);
    world.acts(me, true);
    assert_eq!(world.acts(other, true), 0);
    assert_eq!(world.of(other).len(), 4);
}
