//! Hands changed rows to those who follow them. One hub per projection serves the whole process.

use std::any::TypeId;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::form::Form;
use super::frame::{self, Left, Meta, Place, State};
use super::members::Members;
use super::queue::{Queue, Sent};
use super::row::Followed;

/// Whether a row matches a filter.
pub(crate) type Matches<R> = Arc<dyn Fn(&R) -> bool + Send + Sync>;

/// The rows that a client follows.
#[derive(Clone)]
pub(crate) enum Follow<R> {
    /// One row.
    Row(Uuid),
    /// The rows of a list.
    List {
        /// Only rows of this user.
        owner: Option<Uuid>,
        /// Only rows that match; all rows do without it.
        matches: Option<Matches<R>>,
    },
}

/// Hands changed rows to those who follow them. Clones share it.
#[derive(Debug)]
pub(crate) struct Hub<R>(Arc<Shared<R>>);

#[derive(Debug)]
struct Shared<R> {
    /// The state up to which changes were handed out. `None` while nobody follows.
    state: watch::Sender<Option<State>>,
    count: watch::Sender<usize>,
    followers: Mutex<Followers<R>>,
}

struct Followers<R> {
    last: u64,
    of_rows: HashMap<Uuid, Vec<Follower<R>>>,
    of_owners: HashMap<Uuid, Vec<Follower<R>>>,
    of_all: Vec<Follower<R>>,
}

struct Follower<R> {
    number: u64,
    queue: Queue,
    form: Form<R>,
    filter: Option<Filter<R>>,
}

/// The filter of a list whose rows may leave.
struct Filter<R> {
    matches: Matches<R>,
    members: Arc<Members>,
}

/// Where a follower is registered.
#[derive(Debug, Clone, Copy)]
enum Shelf {
    Row(Uuid),
    Owner(Uuid),
    All,
}

/// A registration. Dropping it ends it.
pub(super) struct Following<R: Followed> {
    hub: Hub<R>,
    shelf: Shelf,
    number: u64,
    /// The rows that the client has, if rows may leave.
    pub(super) members: Option<Arc<Members>>,
}

/// A change to hand out.
pub(super) struct Change<'s, R> {
    pub(super) row: R,
    pub(super) state: &'s State,
    /// The place up to which a client is complete with it.
    pub(super) place: Place,
    /// See [`Sent::Change`].
    pub(super) always: bool,
    /// Whether the row lacks events.
    pub(super) stale: bool,
    pub(super) event: &'static str,
}

impl<R> Clone for Hub<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> Default for Hub<R> {
    fn default() -> Self {
        let followers = Followers {
            last: 0,
            of_rows: HashMap::new(),
            of_owners: HashMap::new(),
            of_all: Vec::new(),
        };
        Self(Arc::new(Shared {
            state: watch::Sender::new(None),
            count: watch::Sender::new(0),
            followers: Mutex::new(followers),
        }))
    }
}

impl<R> std::fmt::Debug for Followers<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followers").field("last", &self.last).finish_non_exhaustive()
    }
}

impl<R> Followers<R> {
    /// The followers of a shelf, to change them. A shelf without followers is not kept.
    fn remove(&mut self, shelf: Shelf, number: u64) {
        let at = |followers: &[Follower<R>]| followers.iter().position(|one| one.number == number);
        match shelf {
            Shelf::All => {
                if let Some(at) = at(&self.of_all) {
                    self.of_all.swap_remove(at);
                }
            }
            Shelf::Row(key) | Shelf::Owner(key) => {
                let map = match shelf {
                    Shelf::Row(_) => &mut self.of_rows,
                    _ => &mut self.of_owners,
                };
                let Some(followers) = map.get_mut(&key) else { return };
                if let Some(at) = at(followers) {
                    followers.swap_remove(at);
                }
                if followers.is_empty() {
                    map.remove(&key);
                }
            }
        }
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Vec<Follower<R>>> {
        let Self { of_rows, of_owners, of_all, .. } = self;
        of_rows.values_mut().chain(of_owners.values_mut()).chain(std::iter::once(of_all))
    }
}

impl<R: Followed> Hub<R> {
    fn followers(&self) -> MutexGuard<'_, Followers<R>> {
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a client. From now on, every change that it follows goes into its queue in this
    /// form.
    pub(super) fn follow(&self, follow: Follow<R>, form: Form<R>, queue: Queue) -> Following<R> {
        let (shelf, matches) = match follow {
            Follow::Row(id) => (Shelf::Row(id), None),
            Follow::List { owner: Some(owner), matches } => (Shelf::Owner(owner), matches),
            Follow::List { owner: None, matches } => (Shelf::All, matches),
        };
        let members = matches.is_some().then(Arc::<Members>::default);
        let filter = matches.zip(members.clone());
        let filter = filter.map(|(matches, members)| Filter { matches, members });
        let mut followers = self.followers();
        followers.last += 1;
        let number = followers.last;
        let follower = Follower { number, queue, form, filter };
        // Most rows have one follower.
        let one = || Vec::with_capacity(1);
        match shelf {
            Shelf::Row(id) => followers.of_rows.entry(id).or_insert_with(one).push(follower),
            Shelf::Owner(id) => followers.of_owners.entry(id).or_insert_with(one).push(follower),
            Shelf::All => followers.of_all.push(follower),
        }
        // Under the lock, so that the hub does not forget its state meanwhile.
        self.0.count.send_modify(|count| *count += 1);
        drop(followers);
        Following { hub: self.clone(), shelf, number, members }
    }

    /// Follows the state up to which changes were handed out.
    pub(super) fn state(&self) -> watch::Receiver<Option<State>> {
        self.0.state.subscribe()
    }

    /// Waits until somebody follows.
    pub(super) async fn somebody_follows(&self) {
        // The sender lives in `self`, so this cannot fail.
        drop(self.0.count.subscribe().wait_for(|count| *count > 0).await);
    }

    /// Forgets the state if nobody follows, and returns the state.
    pub(super) fn known(&self) -> Option<State> {
        let _followers = self.followers();
        if *self.0.count.borrow() == 0 {
            self.0.state.send_replace(None);
        }
        *self.0.state.borrow()
    }

    /// Says up to where changes were handed out.
    pub(super) fn reached(&self, state: State) {
        self.0.state.send_if_modified(|known| {
            let is_new = *known != Some(state);
            *known = Some(state);
            is_new
        });
    }

    /// Tells everybody that the tables are others now.
    pub(super) fn reset(&self) {
        for followers in self.followers().all_mut() {
            for follower in followers {
                if let Some(filter) = &follower.filter {
                    filter.members.forget();
                }
                // A client whose queue was full is gone already.
                follower.queue.push(Sent::Reset);
            }
        }
    }

    /// Hands a change to those who follow the row.
    pub(super) fn hand_out(&self, change: &Change<'_, R>) {
        let (id, owner) = (change.row.id(), change.row.owner());
        let mut texts = Texts { change, left: OnceCell::new(), changed: Vec::new() };
        let mut send = |follower: &mut Follower<R>| -> bool {
            let text = match &follower.filter {
                Some(Filter { matches, members }) if !matches(&change.row) => {
                    if !members.remove(id, change.place.position) {
                        return true;
                    }
                    texts.left()
                }
                Some(Filter { members, .. }) => {
                    members.add(id);
                    texts.changed(&follower.form)
                }
                None => texts.changed(&follower.form),
            };
            let (place, always, position) = (change.place, change.always, change.row.position());
            // An event that cannot be written as JSON is a bug, and was logged.
            text.is_none_or(|text| {
                follower.queue.push(Sent::Change { place, id, position, always, text })
            })
        };
        let mut followers = self.followers();
        let Followers { of_rows, of_owners, of_all, .. } = &mut *followers;
        let of_row = of_rows.get_mut(&id);
        let of_owner = owner.and_then(|owner| of_owners.get_mut(&owner));
        for shelf in of_row.into_iter().chain(of_owner).chain([of_all]) {
            // A client that reads too slowly is dropped: the end of its queue tells its stream.
            shelf.retain_mut(&mut send);
        }
    }
}

/// The texts of a change, each written once, whatever the number of clients.
struct Texts<'c, 's, R> {
    change: &'c Change<'s, R>,
    left: OnceCell<Option<Bytes>>,
    /// The texts in the forms that clients see. There are a few for each row.
    changed: Vec<(TypeId, Option<Bytes>)>,
}

impl<R: Followed> Texts<'_, '_, R> {
    fn left(&self) -> Option<Bytes> {
        self.left.get_or_init(|| self.change.left()).clone()
    }

    fn changed(&mut self, form: &Form<R>) -> Option<Bytes> {
        let written = self.changed.iter().find(|(shown, _)| *shown == form.shown());
        if let Some((_, text)) = written {
            return text.clone();
        }
        let text = self.change.changed(form);
        self.changed.push((form.shown(), text.clone()));
        text
    }
}

impl<R: Followed> Change<'_, R> {
    fn meta(&self) -> Meta {
        let stale = self.stale.then_some(true);
        Meta { epoch: self.state.epoch, position: self.place.position, stale, page: None }
    }

    fn changed(&self, form: &Form<R>) -> Option<Bytes> {
        let id = self.state.id_at(self.place);
        written(form.event(self.event, Some(&id), self.row.clone(), &self.meta()))
    }

    fn left(&self) -> Option<Bytes> {
        let left = Left { id: self.row.id() };
        let id = self.state.id_at(self.place);
        written(frame::event("left", Some(&id), Some(&left), &self.meta()))
    }
}

fn written(text: Result<Bytes, serde_json::Error>) -> Option<Bytes> {
    text.inspect_err(|error| tracing::error!(%error, "a row cannot be written as JSON")).ok()
}

impl<R: Followed> Drop for Following<R> {
    fn drop(&mut self) {
        let mut followers = self.hub.followers();
        followers.remove(self.shelf, self.number);
        self.hub.0.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}
