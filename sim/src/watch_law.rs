//! What every watch promises, judged on every stream that a run shows to anybody.
//!
//! The promises are etcd's and those of the API server's lists: lines come in the order of their revisions, each once, none is
//! left out, each shows what was written; a bookmark says only what was shown; a list is the state of one moment, and the
//! watch goes on from there. The judge keeps a history of its own, made of the commits, so what the server's model keeps does
//! not testify for itself.
//!
//! Source: "KV API guarantees" of etcd, and "Efficient detection of changes" in the Kubernetes API concepts.

use std::collections::{BTreeMap, VecDeque};

use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;

use crate::api_server::{Commit, Seen};
use crate::checkers::{Class, Property, Violation};
use crate::process;
use crate::step::Fact;

/// One promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Law {
    /// No line is older than the one before.
    Ordered,
    /// No line comes twice.
    Unique,
    /// No line is left out.
    GapFree,
    /// A line shows what was written.
    True,
    /// A bookmark is not ahead of what was shown.
    Honest,
    /// A list is the state of one moment.
    Atomic,
}

/// The property.
pub(crate) const PROPERTY: Property = Property {
    name: "watch-law",
    about: "Watches show every change once and in order, bookmarks and lists what was there.",
    class: Class::Safety,
};

/// How many lines may be kept that every stream has shown. Source: more than a thousand lags behind rarely.
const SLACK: usize = 256;

/// Judges the streams of one run.
#[derive(Debug, Default)]
pub(crate) struct WatchLaw {
    kinds: [OfKind; Kind::ALL.len()],
    streams: BTreeMap<(u8, usize), Stream>,
    latest: Version,
    judged: u64,
    /// A law that is not in force: a test shows that no other would find the same.
    waived: Option<Law>,
}

#[derive(Debug, Default)]
struct OfKind {
    lines: VecDeque<(Version, Seen)>,
    /// The sum of what stands for each object.
    sum: u64,
}

#[derive(Debug)]
enum Stream {
    /// The list was read: the moment, and the sum of all objects then.
    Listed(Version, u64),
    /// The watch has shown everything up to here.
    Live(Version),
}

impl WatchLaw {
    /// Returns how many lines, bookmarks and lists were judged.
    pub(crate) const fn judged(&self) -> u64 {
        self.judged
    }

    /// Takes in what has happened.
    ///
    /// # Errors
    /// When a stream has broken a promise.
    pub(crate) fn on_fact(&mut self, fact: &Fact) -> Result<(), Violation> {
        match fact {
            Fact::Committed(commit) => self.on_commit(commit),
            Fact::Listed(process, kind) => {
                let sum = self.kinds[kind.index()].sum;
                self.streams.insert((*process, kind.index()), Stream::Listed(self.latest, sum));
            }
            Fact::Relisted { process, kind, at, objects, .. } => {
                self.on_list(*process, *kind, *at, objects)?;
            }
            Fact::Shown { process, kind, upto, line } => {
                self.judged += 1;
                let broken = self.broken_by(*process, *kind, *upto, line.as_ref());
                if let Some(law) = broken.filter(|law| Some(*law) != self.waived) {
                    return Err(violation(*process, *kind, law));
                }
                self.streams.insert((*process, kind.index()), Stream::Live(*upto));
                self.trim(*kind);
            }
            Fact::WatchLost(process, kind) => drop(self.streams.remove(&(*process, kind.index()))),
            Fact::Leading { process, .. } | Fact::Deposed { process, .. } | Fact::Crashed { process, .. } => {
                self.streams.retain(|(other, _), _| other != process);
            }
            Fact::Sent(_)
            | Fact::Handled(_)
            | Fact::Answered { .. }
            | Fact::Started(_)
            | Fact::CalendarSet(_)
            | Fact::Ran(_) => {}
        }
        Ok(())
    }

    fn on_commit(&mut self, commit: &Commit) {
        let of_kind = &mut self.kinds[commit.object().kind().index()];
        let marks = [&commit.old, &commit.new].map(|object| object.as_ref().map_or(0, mark));
        of_kind.sum = of_kind.sum.wrapping_sub(marks[0]).wrapping_add(marks[1]);
        let seen = match &commit.new {
            Some(new) => Seen::Applied(new.clone()),
            None => Seen::Deleted(commit.object().clone()),
        };
        of_kind.lines.push_back((commit.version, seen));
        self.latest = commit.version;
    }

    fn on_list(&mut self, process: u8, kind: Kind, at: Version, objects: &[Object]) -> Result<(), Violation> {
        self.judged += 1;
        let sum = objects.iter().fold(0_u64, |sum, object| sum.wrapping_add(mark(object)));
        let is_state = match self.streams.get(&(process, kind.index())) {
            Some(Stream::Listed(then, expected)) => (*then, *expected) == (at, sum),
            Some(Stream::Live(_)) | None => false,
        };
        if !is_state && self.waived != Some(Law::Atomic) {
            return Err(violation(process, kind, Law::Atomic));
        }
        self.streams.insert((process, kind.index()), Stream::Live(at));
        self.trim(kind);
        Ok(())
    }

    /// Returns the promise that a line, or a bookmark, breaks.
    fn broken_by(&self, process: u8, kind: Kind, upto: Version, line: Option<&Seen>) -> Option<Law> {
        let Some(Stream::Live(before)) = self.streams.get(&(process, kind.index())) else {
            return Some(Law::GapFree);
        };
        let lines = &self.kinds[kind.index()].lines;
        let next = lines.get(lines.partition_point(|(at, _)| at <= before)).map(|(at, _)| *at);
        let skips = |last: Version| next.is_some_and(|next| next < last);
        let Some(line) = line else {
            let is_honest = upto >= *before && upto <= self.latest && !skips(Version(upto.0 + 1));
            return (!is_honest).then_some(Law::Honest);
        };
        if upto < *before {
            return Some(Law::Ordered).filter(|law| Some(*law) != self.waived);
        }
        if upto == *before {
            return Some(Law::Unique).filter(|law| Some(*law) != self.waived);
        }
        if skips(upto) && self.waived != Some(Law::GapFree) {
            return Some(Law::GapFree);
        }
        let written = lines.binary_search_by_key(&upto, |(at, _)| *at).ok().map(|place| &lines[place].1);
        (!written.is_some_and(|written| shows(line, written))).then_some(Law::True)
    }

    /// Forgets lines that every stream of a kind has shown.
    fn trim(&mut self, kind: Kind) {
        let lines = &mut self.kinds[kind.index()].lines;
        if lines.len() < SLACK {
            return;
        }
        let of_kind = self.streams.iter().filter(|((_, other), _)| *other == kind.index());
        let shown = of_kind.map(|(_, stream)| match stream {
            Stream::Listed(at, _) | Stream::Live(at) => *at,
        });
        let shown = shown.min().unwrap_or(self.latest);
        lines.drain(..lines.partition_point(|(at, _)| *at <= shown));
    }
}

/// Returns whether a line shows what was written. That of a deletion has the version of the deletion.
fn shows(line: &Seen, written: &Seen) -> bool {
    match (line, written) {
        (Seen::Applied(shown), Seen::Applied(written)) => shown == written,
        (Seen::Deleted(shown), Seen::Deleted(last)) => {
            (shown.uid(), shown.key()) == (last.uid(), last.key()) && shown.version() > last.version()
        }
        _ => false,
    }
}

/// Returns what stands for an object in its state.
fn mark(object: &Object) -> u64 {
    names::mix(object.uid().bits() as u64, object.version().0, object.kind() as u64)
}

fn violation(process: u8, kind: Kind, law: Law) -> Violation {
    let what = match law {
        Law::Ordered => "shows a line that is older than the one before",
        Law::Unique => "shows a line twice",
        Law::GapFree => "leaves a line out",
        Law::True => "shows what was never written",
        Law::Honest => "sends a bookmark for what it has not shown",
        Law::Atomic => "goes on from a list that is the state of no moment",
    };
    let what = format!("{}'s watch of {} {what}", process::name(process), kind.plural());
    Violation { property: PROPERTY, what }
}

#[cfg(test)]
mod tests {

    use agent_sandbox_core::action::Operation;
    use agent_sandbox_core::time::Wall;

    use super::*;
    use crate::api_server::{ApiServer, Deletion, Writer};
    use crate::scene;

    const KIND: Kind = Kind::Claim;

    const LAWS: [Law; 6] = [Law::Ordered, Law::Unique, Law::GapFree, Law::True, Law::Honest, Law::Atomic];

    /// Each broken stream is found, and not if its law is waived: so no other law finds it.
    #[test]
    fn each_promise_is_kept_by_one_law_alone() {
        for law in LAWS {
            assert!(judge(&stream(Some(law)), None).is_err(), "{law:?} is not found");
            for waived in LAWS {
                let found = judge(&stream(Some(law)), Some(waived));
                assert_eq!(found.is_ok(), waived == law, "{law:?} without {waived:?}: {found:?}");
            }
        }
        assert_eq!(judge(&stream(None), None), Ok(6), "a list, four lines and a bookmark");
    }

    #[test]
    fn a_watch_that_nobody_has_begun_shows_nothing() {
        let facts = stream(None);
        let without_list: Vec<Fact> =
            facts.into_iter().filter(|fact| !matches!(fact, Fact::Relisted { .. })).collect();
        assert!(judge(&without_list, None).is_err());
    }

    fn judge(facts: &[Fact], waived: Option<Law>) -> Result<u64, Violation> {
        let mut judge = WatchLaw { waived, ..WatchLaw::default() };
        facts.iter().try_for_each(|fact| judge.on_fact(fact))?;
        Ok(judge.judged())
    }

    /// Returns a list of two claims, a line for each of four changes, and a bookmark; or what a server makes of that which
    /// keeps all promises but one.
    fn stream(broken: Option<Law>) -> Vec<Fact> {
        let mut server = ApiServer::default();
        let mut facts = Vec::new();
        for name in ["a", "b"] {
            create(&mut server, name, &mut facts);
        }
        facts.push(Fact::Listed(0, KIND));
        let mut objects = server.store().list(KIND).to_vec();
        if broken == Some(Law::Atomic) {
            objects.pop();
        }
        let at = server.revision();
        facts.push(Fact::Relisted { process: 0, term: 1, kind: KIND, at, objects: objects.into() });
        create(&mut server, "c", &mut facts);
        create(&mut server, "d", &mut facts);
        let touch = server.update(KIND, &scene::key("a"), Writer::User, |object| {
            object.meta_mut().annotations.insert("a".into(), "x".into());
        });
        let gone = server.delete_now(KIND, &scene::key("b"), Deletion::default(), Writer::User);
        facts.extend([touch].into_iter().chain(gone).flatten().map(Fact::Committed));
        let mut lines: Vec<(Version, Seen)> =
            server.lines_after(KIND, at).map(|(at, seen)| (at, seen.clone())).collect();
        match broken {
            Some(Law::Ordered) => lines.push(lines[1].clone()),
            Some(Law::Unique) => lines.push(lines[3].clone()),
            Some(Law::GapFree) => drop(lines.remove(1)),
            Some(Law::True) => lines[1].1 = lines[0].1.clone(),
            Some(Law::Honest) => drop(lines.pop()),
            Some(Law::Atomic) | None => {}
        }
        let shown = lines.into_iter().map(|(upto, line)| show(upto, Some(line)));
        facts.extend(shown);
        if matches!(broken, None | Some(Law::Honest)) {
            facts.push(show(server.revision(), None));
        }
        facts
    }

    fn show(upto: Version, line: Option<Seen>) -> Fact {
        Fact::Shown { process: 0, kind: KIND, upto, line }
    }

    fn create(server: &mut ApiServer, name: &str, facts: &mut Vec<Fact>) {
        let operation = Operation::Create(scene::claim(name, "p"));
        let (_, commits) = server.handle(&operation, Writer::User, Wall::default());
        facts.extend(commits.into_iter().flatten().map(Fact::Committed));
    }
}
