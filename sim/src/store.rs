//! All objects of one moment, found by name, by identity and by owner.

use std::sync::Arc;

use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::object::{Object, OwnerKind};

/// The objects of a cluster at one moment.
///
/// **Shape**: one table for each kind, shared between copies until one of them changes it. Every look-up is
/// O(log n); an object that comes or goes moves what stands behind it in the table, some 20 bytes an object.
#[derive(Clone, Debug, Default)]
pub struct Store {
    tables: Arc<[Arc<Table>; Kind::ALL.len()]>,
}

#[derive(Clone, Debug, Default)]
struct Table {
    /// In the order of their keys.
    objects: Vec<Object>,
    /// Most writes change what an object says, and not who it is and whose.
    index: Arc<Index>,
}

/// Where in its table an object stands.
///
/// A place is a number, so that no name is read to find an object, and so that those behind a new one move on quickly.
#[derive(Clone, Debug, Default)]
struct Index {
    /// In order.
    identities: Vec<Uid>,
    /// Of each of `identities`.
    places: Vec<u32>,
    /// Owner, and the place of what it owns, in order.
    owned: Vec<(Uid, u32)>,
}

impl Store {
    /// Puts an object in its place and returns the one that was there.
    pub fn put(&mut self, object: Object) -> Option<Object> {
        let table = self.table_mut(object.kind());
        let known = table.place_of(&object);
        match known.map_or_else(|| table.position(object.key()), Ok) {
            Ok(place) => {
                let old = std::mem::replace(&mut table.objects[place], object);
                let object = &table.objects[place];
                if old.uid() != object.uid() || owner_of(&old) != owner_of(object) {
                    let index = Arc::make_mut(&mut table.index);
                    index.forget(&old, place as u32);
                    index.add(object, place as u32);
                }
                Some(old)
            }
            Err(place) => {
                let index = Arc::make_mut(&mut table.index);
                index.make_room(place as u32);
                index.add(&object, place as u32);
                table.objects.insert(place, object);
                None
            }
        }
    }

    /// Takes an object away and returns it.
    pub fn remove(&mut self, kind: Kind, key: &Key) -> Option<Object> {
        let place = self.tables[kind.index()].position(key).ok()?;
        let table = self.table_mut(kind);
        let old = table.objects.remove(place);
        let index = Arc::make_mut(&mut table.index);
        index.forget(&old, place as u32);
        index.close_gap(place as u32);
        Some(old)
    }

    fn table_mut(&mut self, kind: Kind) -> &mut Table {
        Arc::make_mut(&mut Arc::make_mut(&mut self.tables)[kind.index()])
    }

    /// Returns the object that holds a name.
    pub fn get(&self, kind: Kind, key: &Key) -> Option<&Object> {
        let table = &self.tables[kind.index()];
        table.position(key).ok().map(|place| &table.objects[place])
    }

    /// Returns the object with an identity.
    pub fn find(&self, kind: Kind, uid: Uid) -> Option<&Object> {
        let table = &self.tables[kind.index()];
        table.index.place(uid).map(|place| &table.objects[place])
    }

    /// Returns every object of a kind, in the order of their keys.
    pub fn list(&self, kind: Kind) -> &[Object] {
        &self.tables[kind.index()].objects
    }

    /// Returns the objects of a kind whose controller reference has this identity, in the order of their
    /// keys.
    pub fn owned_by(&self, kind: Kind, owner: Uid) -> impl Iterator<Item = &Object> {
        let table = &self.tables[kind.index()];
        let owned = &table.index.owned;
        let first = owned.partition_point(|entry| entry.0 < owner);
        let owned = owned[first..].iter().take_while(move |entry| entry.0 == owner);
        owned.map(|entry| &table.objects[entry.1 as usize])
    }

    /// Returns whether an object has an owner that does not exist: its name is free, or held by another
    /// identity.
    ///
    /// Owners of foreign kinds count as existing: nothing is known of them here.
    pub fn is_orphan(&self, object: &Object) -> bool {
        let Some(owner) = &object.meta().owner else { return false };
        match &owner.kind {
            OwnerKind::Known(kind) => {
                let holder = self.find(*kind, owner.uid).map(Object::key);
                holder.is_none_or(|holder| {
                    holder.name != owner.name || holder.namespace != object.key().namespace
                })
            }
            OwnerKind::Foreign(_) => false,
        }
    }
}

impl Table {
    /// Returns the place of the object with an identity and a name, which no other name need be read for.
    fn place_of(&self, object: &Object) -> Option<usize> {
        let place = self.index.place(object.uid())?;
        (self.objects[place].key() == object.key()).then_some(place)
    }

    fn position(&self, key: &Key) -> Result<usize, usize> {
        self.objects.binary_search_by(|object| object.key().cmp(key))
    }
}

impl Index {
    fn place(&self, uid: Uid) -> Option<usize> {
        let entry = self.identities.binary_search(&uid).ok()?;
        Some(self.places[entry] as usize)
    }

    fn add(&mut self, object: &Object, place: u32) {
        if let Err(entry) = self.identities.binary_search(&object.uid()) {
            self.identities.insert(entry, object.uid());
            self.places.insert(entry, place);
        }
        if let Some(owner) = owner_of(object)
            && let Err(entry) = self.owned.binary_search(&(owner, place))
        {
            self.owned.insert(entry, (owner, place));
        }
    }

    fn forget(&mut self, object: &Object, place: u32) {
        if let Ok(entry) = self.identities.binary_search(&object.uid())
            && self.places[entry] == place
        {
            self.identities.remove(entry);
            self.places.remove(entry);
        }
        if let Some(owner) = owner_of(object)
            && let Ok(entry) = self.owned.binary_search(&(owner, place))
        {
            self.owned.remove(entry);
        }
    }

    /// Moves those on that stand at a place, or behind it.
    fn make_room(&mut self, at: u32) {
        self.each_place(|place| *place += u32::from(*place >= at));
    }

    /// Moves those up that stand behind a place.
    fn close_gap(&mut self, at: u32) {
        self.each_place(|place| *place -= u32::from(*place > at));
    }

    fn each_place(&mut self, change: impl Fn(&mut u32)) {
        self.places.iter_mut().for_each(&change);
        self.owned.iter_mut().for_each(|(_, place)| change(place));
    }
}

fn owner_of(object: &Object) -> Option<Uid> {
    object.meta().owner.as_ref().map(|owner| owner.uid)
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::object::{Meta, Owner, Phase, Pod};

    use super::*;

    #[test]
    fn an_object_is_found_by_name_by_identity_and_by_owner() {
        let mut store = Store::default();
        store.put(pod("a", 1, Some(9)));
        store.put(pod("b", 2, None));
        assert_eq!(store.get(Kind::Pod, &key("a")).map(Object::uid), Some(Uid::from_bits(1)));
        assert_eq!(store.find(Kind::Pod, Uid::from_bits(2)).map(Object::key), Some(&key("b")));
        let owned: Vec<_> = store.owned_by(Kind::Pod, Uid::from_bits(9)).map(Object::uid).collect();
        assert_eq!(owned, [Uid::from_bits(1)]);
    }

    #[test]
    fn objects_are_found_whoever_came_or_went_before_them() {
        let mut store = Store::default();
        for (name, uid) in [("d", 1), ("b", 2), ("c", 3), ("a", 4), ("e", 5)] {
            store.put(pod(name, uid, Some(9)));
        }
        store.remove(Kind::Pod, &key("b"));
        let names = |store: &Store| -> Vec<String> {
            store.owned_by(Kind::Pod, Uid::from_bits(9)).map(|pod| pod.key().name.to_string()).collect()
        };
        assert_eq!(names(&store), ["a", "c", "d", "e"]);
        for (name, uid) in [("a", 4), ("c", 3), ("d", 1), ("e", 5)] {
            assert_eq!(store.find(Kind::Pod, Uid::from_bits(uid)).map(Object::key), Some(&key(name)));
        }
        assert!(store.find(Kind::Pod, Uid::from_bits(2)).is_none());
    }

    #[test]
    fn a_change_of_owner_is_seen_under_the_new_owner_only() {
        let mut store = Store::default();
        store.put(pod("a", 1, Some(8)));
        store.put(pod("a", 1, Some(9)));
        assert_eq!(store.owned_by(Kind::Pod, Uid::from_bits(8)).count(), 0);
        assert_eq!(store.owned_by(Kind::Pod, Uid::from_bits(9)).count(), 1);
    }

    #[test]
    fn what_is_removed_is_not_found() {
        let mut store = Store::default();
        store.put(pod("a", 1, Some(9)));
        assert!(store.remove(Kind::Pod, &key("a")).is_some());
        assert!(store.remove(Kind::Pod, &key("a")).is_none());
        assert!(store.find(Kind::Pod, Uid::from_bits(1)).is_none());
        assert_eq!(store.owned_by(Kind::Pod, Uid::from_bits(9)).count(), 0);
    }

    #[test]
    fn an_object_whose_owner_left_its_name_to_another_is_an_orphan() {
        let mut store = Store::default();
        let child = pod("child", 1, Some(9));
        assert!(store.is_orphan(&child));
        store.put(pod("owner", 9, None));
        assert!(!store.is_orphan(&child));
        store.put(pod("owner", 10, None));
        assert!(store.is_orphan(&child));
    }

    #[test]
    fn a_copy_does_not_change_with_its_origin() {
        let mut store = Store::default();
        store.put(pod("a", 1, None));
        let copy = store.clone();
        store.remove(Kind::Pod, &key("a"));
        assert!(copy.get(Kind::Pod, &key("a")).is_some());
    }

    fn key(name: &str) -> Key {
        Key::new("default", name)
    }

    fn pod(name: &str, uid: u128, owner: Option<u128>) -> Object {
        let mut meta = Meta::draft(key(name));
        meta.uid = Uid::from_bits(uid);
        meta.owner = owner.map(|owner| Owner {
            kind: OwnerKind::Known(Kind::Pod),
            name: "owner".into(),
            uid: Uid::from_bits(owner),
        });
        Object::Pod(Arc::new(Pod {
            meta,
            spec: None,
            phase: Phase::Pending,
            ready: false,
            scheduled: None,
            ips: Vec::new(),
            node: "".into(),
        }))
    }
}
