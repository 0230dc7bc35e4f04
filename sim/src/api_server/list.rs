//! Lists: as of which moment, and page by page.
//!
//! Source: "Resource versions" and "Retrieving large results sets in chunks" in the Kubernetes API concepts.

use agent_sandbox_core::id::{Key, Kind, Version};
use agent_sandbox_core::object::Object;

use super::{ApiServer, Refused};

/// As of which moment a list is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moment {
    /// Everything that was committed when the request came: no `resourceVersion`.
    #[default]
    Latest,
    /// This state or a later one: `resourceVersion`, with or without `resourceVersionMatch=NotOlderThan`. `0` is any.
    NotOlderThan(Version),
    /// This state: `resourceVersionMatch=Exact`.
    Exact(Version),
}

/// Where a list goes on: what the server gives as `metadata.continue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continue {
    at: Version,
    after: Key,
}

/// A part of a list, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of their names.
    pub objects: Vec<Object>,
    /// `metadata.resourceVersion`: the whole list is as of this.
    pub at: Version,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Continue>,
    /// `metadata.remainingItemCount`.
    pub remaining: Option<usize>,
}

impl ApiServer {
    /// Lists the objects of a kind in a namespace, at most `limit` of them; zero is all. The next page is of the same moment.
    ///
    /// # Errors
    /// 410 when that moment was compacted away, 504 when it has not come yet.
    pub fn list(&self, kind: Kind, namespace: &str, moment: Moment, limit: usize) -> Result<Page, Refused> {
        let at = match moment {
            Moment::Latest => self.revision(),
            Moment::NotOlderThan(version) | Moment::Exact(version) if version > self.revision() => {
                return Err(Refused::TOO_NEW);
            }
            Moment::NotOlderThan(_) => self.revision(),
            Moment::Exact(version) => version,
        };
        self.go_on(kind, &Continue { at, after: Key::new(namespace, "") }, limit)
    }

    /// Returns the page that follows.
    ///
    /// # Errors
    /// 410 when the moment of the list was compacted away.
    pub fn go_on(&self, kind: Kind, from: &Continue, limit: usize) -> Result<Page, Refused> {
        let Continue { at, after } = from;
        let mut objects = self.as_of(kind, *at)?;
        objects.retain(|object| object.key().namespace == after.namespace && object.key() > after);
        let rest = if limit == 0 { 0 } else { objects.len().saturating_sub(limit) };
        objects.truncate(objects.len() - rest);
        let last = objects.last().filter(|_| rest > 0);
        let next = last.map(|last| Continue { at: *at, after: last.key().clone() });
        Ok(Page { objects, at: *at, next, remaining: (rest > 0).then_some(rest) })
    }

    /// Returns all objects of a kind as they were, in the order of their keys.
    fn as_of(&self, kind: Kind, at: Version) -> Result<Vec<Object>, Refused> {
        let history = &self.histories[kind.index()];
        if at < history.compacted || at < history.trimmed {
            return Err(Refused::EXPIRED);
        }
        let mut objects = self.store.list(kind).to_vec();
        for line in history.changes.iter().rev().take_while(|line| line.at > at) {
            let key = line.seen.object().key();
            let place = objects.binary_search_by(|object| object.key().cmp(key));
            match (place, line.old.clone()) {
                (Ok(place), Some(old)) => objects[place] = old,
                (Ok(place), None) => drop(objects.remove(place)),
                (Err(place), Some(old)) => objects.insert(place, old),
                (Err(_), None) => {}
            }
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::action::Operation;
    use agent_sandbox_core::time::Wall;

    use super::super::{Deletion, Writer};
    use super::*;
    use crate::scene;

    #[test]
    fn the_pages_of_a_list_are_of_one_moment() {
        let mut server = server_with(&["a", "b", "c"]);
        let first = list(&server, Moment::Latest, 2).expect("nothing is compacted");
        assert_eq!((names(&first), first.remaining), (vec!["a", "b"], Some(1)));
        let next = first.next.expect("there is one more");
        server.delete_now(Kind::Claim, &scene::key("c"), Deletion::default(), Writer::User);
        let second = server.go_on(Kind::Claim, &next, 2).expect("nothing is compacted");
        assert_eq!((names(&second), second.at, second.next.is_none()), (vec!["c"], first.at, true));
        server.compact(Kind::Claim);
        assert_eq!(server.go_on(Kind::Claim, &next, 2), Err(Refused::EXPIRED));
    }

    #[test]
    fn an_exact_list_is_of_its_moment_and_another_of_the_latest() {
        let mut server = server_with(&["a", "b"]);
        server.delete_now(Kind::Claim, &scene::key("a"), Deletion::default(), Writer::User);
        let exact = |version| list(&server, Moment::Exact(Version(version)), 0);
        assert_eq!(exact(1).map(|page| page.objects.len()), Ok(1));
        assert_eq!(exact(2).map(|page| page.objects.len()), Ok(2));
        let later = list(&server, Moment::NotOlderThan(Version(1)), 0).expect("nothing is compacted");
        assert_eq!(names(&later), ["b"]);
        assert_eq!(list(&server, Moment::NotOlderThan(Version(4)), 0), Err(Refused::TOO_NEW));
    }

    #[test]
    fn what_was_forgotten_to_save_memory_is_not_listed_wrongly() {
        let mut server = server_with(&["a", "b"]);
        server.trim(Kind::Claim, Version(2));
        assert_eq!(list(&server, Moment::Exact(Version(1)), 0), Err(Refused::EXPIRED));
        assert!(list(&server, Moment::Exact(Version(2)), 0).is_ok());
    }

    fn server_with(names: &[&str]) -> ApiServer {
        let mut server = ApiServer::default();
        for name in names {
            let create = Operation::Create(scene::claim(*name, "p"));
            server.handle(&create, Writer::User, Wall::default());
        }
        server
    }

    fn list(server: &ApiServer, moment: Moment, limit: usize) -> Result<Page, Refused> {
        server.list(Kind::Claim, scene::NAMESPACE, moment, limit)
    }

    fn names(page: &Page) -> Vec<&str> {
        page.objects.iter().map(|object| &*object.key().name).collect()
    }
}
