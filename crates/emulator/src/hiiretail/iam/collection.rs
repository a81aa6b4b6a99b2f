use std::collections::BTreeMap;

use crate::hiiretail::rejection::Rejection;

/// Things of one kind by their ids, which is also the order that lists have them in.
#[derive(Debug)]
pub(super) struct Collection<T> {
    kind: &'static str,
    by_id: BTreeMap<String, T>,
}

impl<T> Collection<T> {
    pub(super) fn of(kind: &'static str) -> Self {
        Self { kind, by_id: BTreeMap::new() }
    }

    pub(super) fn find(&self, id: &str) -> Option<&T> {
        self.by_id.get(id)
    }

    pub(super) fn get(&self, id: &str) -> Result<&T, Rejection> {
        self.find(id).ok_or_else(|| Rejection::missing(self.kind, id))
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Result<&mut T, Rejection> {
        self.by_id.get_mut(id).ok_or_else(|| Rejection::missing(self.kind, id))
    }

    /// Adds a thing that must be new.
    pub(super) fn add(&mut self, id: &str, thing: T) -> Result<(), Rejection> {
        if self.by_id.contains_key(id) {
            return Err(Rejection::taken(self.kind, id));
        }
        self.by_id.insert(id.to_owned(), thing);
        Ok(())
    }

    /// Adds or replaces, and returns what was replaced.
    pub(super) fn set(&mut self, id: &str, thing: T) -> Option<T> {
        self.by_id.insert(id.to_owned(), thing)
    }

    pub(super) fn remove(&mut self, id: &str) -> Result<T, Rejection> {
        self.by_id.remove(id).ok_or_else(|| Rejection::missing(self.kind, id))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_id.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.by_id.values_mut()
    }
}
