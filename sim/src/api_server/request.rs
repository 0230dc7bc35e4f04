//! Requests of everybody: JSON in, JSON or a refusal out. The core's own requests, which say less, go to `ApiServer::handle`.

use agent_sandbox_core::action::{Part, Target};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Key, Kind, Text, Version};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wire;
use serde_json::{Map, Value, json};

use super::{
    ApiServer, Commits, Deletion, Kept, Writer, body, counts_generations, delete, json_patch, kept,
    reset_status, validate,
};

/// What somebody asks of the server.
#[derive(Clone, Debug)]
pub enum Request {
    /// Create an object: POST.
    Create {
        /// Of this kind.
        kind: Kind,
        /// In this namespace.
        namespace: Text,
        /// It looks like this.
        body: Value,
    },
    /// Change an object.
    Change {
        /// Of this kind.
        kind: Kind,
        /// Under this name.
        key: Key,
        /// Which half of it.
        part: Part,
        /// How.
        change: Document,
    },
    /// Delete an object.
    Delete {
        /// Which, and its identity where that matters.
        target: Target,
        /// Its version where that matters.
        version: Option<Version>,
        /// How.
        deletion: Deletion,
    },
}

/// How an object changes.
#[derive(Clone, Debug)]
pub enum Document {
    /// It looks like this: PUT.
    Whole(Value),
    /// A merge patch, RFC 7396.
    Merge(Value),
    /// A JSON patch, RFC 6902.
    Patch(Value),
}

/// What the server says instead of doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status code.
    pub code: u16,
    /// `reason` of the `Status`.
    pub reason: &'static str,
}

impl Refused {
    /// The request contradicts itself.
    pub const BAD: Self = Self { code: 400, reason: "BadRequest" };
    /// Nothing may be created there, or no more.
    pub const FORBIDDEN: Self = Self { code: 403, reason: "Forbidden" };
    /// No object has the name.
    pub const NOT_FOUND: Self = Self { code: 404, reason: "NotFound" };
    /// The name is taken.
    pub const EXISTS: Self = Self { code: 409, reason: "AlreadyExists" };
    /// Another writer was first.
    pub const CONFLICT: Self = Self { code: 409, reason: "Conflict" };
    /// That moment was compacted away.
    pub const EXPIRED: Self = Self { code: 410, reason: "Expired" };
    /// A field is wrong.
    pub const INVALID: Self = Self { code: 422, reason: "Invalid" };
    /// A create names a version.
    pub const VERSION_SET: Self = Self { code: 500, reason: "InternalError" };
    /// That moment has not come.
    pub const TOO_NEW: Self = Self { code: 504, reason: "Timeout" };
}

/// The code of a success, and the object where it is shown.
pub type Answer = Result<(u16, Option<Value>), Refused>;

/// The letters of generated names. Source: `alphanums` in k8s.io/apimachinery, `util/rand`.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Source: `maxGeneratedNameLength`: 63 and five letters less.
const GENERATED_BASE_MAX: usize = 58;

impl ApiServer {
    /// Does what somebody asks for; returns the answer and the changes.
    pub fn ask(&mut self, request: &Request, by: Writer, now: Wall) -> (Answer, Commits) {
        let done = match request {
            Request::Create { kind, namespace, body } => self.create_from((*kind, namespace), body, by, now),
            Request::Change { kind, key, part, change } => self.change((*kind, key), *part, change, by),
            Request::Delete { target, version, deletion } => {
                let (outcome, commits) = self.delete(target, *version, *deletion, by);
                match outcome {
                    Outcome::Done(object) => Ok((200, Some(body(&object)), commits)),
                    Outcome::NotFound => Err(Refused::NOT_FOUND),
                    Outcome::Conflict => Err(Refused::CONFLICT),
                    Outcome::Accepted
                    | Outcome::AlreadyExists
                    | Outcome::Throttled(_)
                    | Outcome::Refused(_)
                    | Outcome::Unknown => Ok((200, None, commits)),
                }
            }
        };
        match done {
            Ok((code, body, commits)) => (Ok((code, body)), commits),
            Err(refused) => (Err(refused), Commits::default()),
        }
    }

    /// In the order of the server: what may be created there at all, whether it is right, whether there is room for it, and
    /// whether the name is free.
    fn create_from(
        &mut self,
        (kind, namespace): (Kind, &Text),
        draft: &Value,
        by: Writer,
        now: Wall,
    ) -> Result<(u16, Option<Value>, Commits), Refused> {
        let meta = &draft["metadata"];
        if meta["namespace"].as_str().is_some_and(|other| *other != **namespace) {
            return Err(Refused::BAD);
        }
        if self.ending() == Some(namespace) {
            return Err(Refused::FORBIDDEN);
        }
        let name = match (meta["name"].as_str(), meta["generateName"].as_str()) {
            (Some(name), _) => name.to_owned(),
            (None, Some(base)) => self.generate(base),
            (None, None) => return Err(Refused::INVALID),
        };
        let base = meta["generateName"].as_str().unwrap_or_default();
        if !base.is_empty() && !validate::begins_name(kind, base) {
            return Err(Refused::INVALID);
        }
        validate::spec(kind, &draft["spec"])?;
        let key = Key::new(&**namespace, name);
        let object = read(kind, &key, draft, None)?;
        validate::meta(kind, object.meta())?;
        if meta["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
            return Err(Refused::VERSION_SET);
        }
        let (outcome, commit) = self.create(&object, by, now);
        let Outcome::Done(object) = outcome else { return Err(Refused::EXISTS) };
        Ok((201, Some(body(&object)), [commit, None]))
    }

    /// Makes a name that begins like this.
    fn generate(&mut self, base: &str) -> String {
        let mut number = self.numbers.name();
        let letters = (0..5).map(|_| {
            let letter = LETTERS[(number % LETTERS.len() as u64) as usize];
            number /= LETTERS.len() as u64;
            char::from(letter)
        });
        let base = &base[..base.len().min(GENERATED_BASE_MAX)];
        base.chars().chain(letters).collect()
    }

    fn change(
        &mut self,
        (kind, key): (Kind, &Key),
        part: Part,
        change: &Document,
        by: Writer,
    ) -> Result<(u16, Option<Value>, Commits), Refused> {
        if let Document::Whole(wanted) = change
            && wanted["metadata"]["name"] != *key.name
        {
            return Err(Refused::BAD);
        }
        let old = self.store.get(kind, key).ok_or(Refused::NOT_FOUND)?.clone();
        let shown = body(&old);
        let mut wanted = match change {
            Document::Whole(body) => body.clone(),
            Document::Merge(patch) => {
                let mut merged = shown.clone();
                agent_sandbox_core::patch::merge(&mut merged, patch);
                merged
            }
            Document::Patch(patch) => json_patch::apply(&shown, patch)?,
        };
        if wanted["metadata"]["name"] != shown["metadata"]["name"] {
            return Err(Refused::BAD);
        }
        let uid = &wanted["metadata"]["uid"];
        let is_another = !uid.is_null() && *uid != shown["metadata"]["uid"];
        // A whole object names whom it means, a patch would make it somebody else.
        if is_another && matches!(change, Document::Whole(_)) {
            return Err(Refused::CONFLICT);
        }
        let version = wanted["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        if version.is_empty() && matches!(change, Document::Whole(_)) && is_ours(kind) {
            return Err(Refused::INVALID);
        }
        if !version.is_empty() && version != old.version().to_string() {
            return Err(Refused::CONFLICT);
        }
        if part == Part::Status {
            let status = wanted["status"].take();
            wanted.clone_from(&shown);
            wanted["status"] = status;
        } else {
            if is_another {
                return Err(Refused::INVALID);
            }
            wanted["status"] = shown["status"].clone();
        }
        validate::spec(kind, &wanted["spec"])?;
        validate::change_of_spec(kind, &shown["spec"], &wanted["spec"])?;
        let mut object = read(kind, key, &wanted, Some(&old))?;
        super::defaults::fill(&mut object);
        validate::meta(kind, object.meta())?;
        validate::change(old.meta(), object.meta())?;
        if body(&object) == shown && !Kept::of(old.meta()).is_new {
            return Ok((200, Some(shown), Commits::default()));
        }
        if wanted["spec"] != shown["spec"] && counts_generations(kind) {
            object.meta_mut().generation += 1;
        }
        if delete::ends(&old, &object) {
            return Ok((200, Some(body(&object)), [self.erase(kind, key, by), None]));
        }
        kept::age(&mut object);
        let commit = self.write(Some(old), object, by);
        Ok((200, Some(body(commit.object())), [Some(commit), None]))
    }
}

/// Reads an object as somebody has written it: what only the server may write stays as it was.
fn read(kind: Kind, key: &Key, body: &Value, old: Option<&Object>) -> Result<Object, Refused> {
    let mut body = body.clone();
    let meta = &mut body["metadata"];
    if !meta.is_object() {
        *meta = Value::Object(Map::new());
    }
    let finalizers = texts(&meta["finalizers"]);
    meta["name"] = json!(key.name);
    meta["namespace"] = json!(key.namespace);
    meta["uid"] = "".into();
    meta["resourceVersion"] = "0".into();
    if body["status"].is_null() {
        body.as_object_mut().map(|body| body.remove("status"));
    }
    let mut object = wire::decode(kind, &body.to_string()).map_err(|_| Refused::INVALID)?;
    if old.is_none() {
        reset_status(&mut object);
    }
    let mut kept = old.map(|old| Kept::of(old.meta())).unwrap_or_default();
    kept.finalizers = finalizers;
    let meta = object.meta_mut();
    kept.put(meta);
    let (uid, version, generation, created, terminating) = old.map_or_else(Default::default, |old| {
        let meta = old.meta();
        (meta.uid, meta.version, meta.generation, meta.created, meta.terminating)
    });
    (meta.uid, meta.version, meta.generation) = (uid, version, generation);
    (meta.created, meta.terminating) = (created, terminating);
    if let (Object::Pod(pod), Some(Object::Pod(old))) = (&mut object, old) {
        let pod = std::sync::Arc::make_mut(pod);
        (pod.phase, pod.ready, pod.scheduled, pod.ips) =
            (old.phase, old.ready, old.scheduled.clone(), old.ips.clone());
    }
    Ok(object)
}

fn texts(list: &Value) -> Vec<Text> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(Text::from).collect()
}

const fn is_ours(kind: Kind) -> bool {
    matches!(kind, Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox)
}
