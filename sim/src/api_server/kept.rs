//! What keeps an object that is deleted: its finalizers, and the time that a Pod is given to end.
//!
//! The core's objects have a field for neither, because it reads neither. One annotation stands for both; whoever looks at
//! an object as the server shows it, see [`body`](super::body()), finds them in their places.

use agent_sandbox_core::id::{Kind, Text};
use agent_sandbox_core::object::{Meta, Object};

/// The annotation: finalizers with commas between them and, after a semicolon, seconds of grace. It begins with [`NEW`] on
/// an object that nobody has written since it was made.
pub(super) const ANNOTATION: &str = "api-server.model/kept";

/// Source: the first patch of a volume claim makes a new version even if it changes nothing, the second does not.
const NEW: &str = "new:";

/// The finalizer of somebody else.
pub(crate) const OTHERS: &str = "example.com/finalizer";

/// The collector takes it off when nothing is left that the object owns.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// The collector takes it off when nothing names the object as its owner any more.
pub(crate) const ORPHAN: &str = "orphan";

/// The cluster takes it off when no Pod uses the volume.
pub(crate) const VOLUME: &str = "kubernetes.io/pvc-protection";

/// Source: the default of `spec.terminationGracePeriodSeconds`.
const GRACE: u32 = 30;

/// What keeps one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// `metadata.finalizers`.
    pub finalizers: Vec<Text>,
    /// `metadata.deletionGracePeriodSeconds` of a Pod that is terminating and was given another time than the usual.
    pub(super) grace: Option<u32>,
    /// Whether this is a volume claim that nobody has written since it was made.
    pub(super) is_new: bool,
}

impl Kept {
    /// Reads it off an object.
    pub fn of(meta: &Meta) -> Self {
        let Some(text) = meta.annotations.get(ANNOTATION) else { return Self::default() };
        let (is_new, text) = text.strip_prefix(NEW).map_or((false, &**text), |rest| (true, rest));
        let (finalizers, grace) = text.split_once(';').unwrap_or((text, ""));
        let names = finalizers.split(',').filter(|name| !name.is_empty());
        Self { finalizers: names.map(Text::from).collect(), grace: grace.parse().ok(), is_new }
    }

    /// Writes it on an object.
    pub(super) fn put(&self, meta: &mut Meta) {
        let mut text = if self.is_new { NEW.to_owned() } else { String::new() };
        text += &self.finalizers.join(",");
        if let Some(grace) = self.grace {
            text += &format!(";{grace}");
        }
        if text.is_empty() {
            meta.annotations.remove(ANNOTATION);
        } else {
            meta.annotations.insert(ANNOTATION.into(), text.into());
        }
    }

    pub(crate) fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|name| **name == *finalizer)
    }

    pub(super) fn take(&mut self, finalizer: &str) {
        self.finalizers.retain(|name| **name != *finalizer);
    }
}

/// Returns whether an object bears a finalizer.
pub(crate) fn bears(meta: &Meta, finalizer: &str) -> bool {
    // Most objects bear none, and this is asked of many.
    meta.annotations.get(ANNOTATION).is_some() && Kept::of(meta).has(finalizer)
}

/// Makes a volume claim that was just made look like any other.
pub(super) fn age(object: &mut Object) {
    if object.kind() == Kind::VolumeClaim {
        let mut kept = Kept::of(object.meta());
        kept.is_new = false;
        kept.put(object.meta_mut());
    }
}

/// Puts the finalizer of somebody else on an object, unless it is going: the server refuses that.
pub(crate) fn put_others(object: &mut Object) {
    let meta = object.meta_mut();
    let mut kept = Kept::of(meta);
    if !meta.terminating && !kept.has(OTHERS) {
        kept.finalizers.push(OTHERS.into());
        kept.put(meta);
    }
}

/// Returns `metadata.deletionGracePeriodSeconds`.
pub(crate) fn grace(object: &Object) -> Option<u32> {
    let usual = if object.kind() == Kind::Pod { GRACE } else { 0 };
    grace_or(object.meta(), usual)
}

/// Returns whether a Pod is going and its kubelet has not stopped it yet.
pub(crate) fn is_stopping(pod: &Meta) -> bool {
    grace_or(pod, GRACE).is_some_and(|seconds| seconds > 0)
}

fn grace_or(meta: &Meta, usual: u32) -> Option<u32> {
    meta.terminating.then(|| Kept::of(meta).grace.unwrap_or(usual))
}

/// Gives a Pod that is going so much time.
pub(super) fn give_grace(object: &mut Object, seconds: u32) {
    if object.kind() != Kind::Pod {
        return;
    }
    let meta = object.meta_mut();
    let mut kept = Kept::of(meta);
    kept.grace = (seconds != GRACE).then_some(seconds);
    kept.put(meta);
}

/// Returns the time that a delete gives an object that lives: what it asks for, or the usual; `None` where there is no such
/// time.
///
/// Source: `podStrategy.CheckGracefulDelete`: none before a Pod is scheduled nor after it has ended.
pub(super) fn grace_of_delete(object: &Object, wanted: Option<u32>) -> Option<u32> {
    let Object::Pod(pod) = object else { return None };
    let is_due = !pod.node.is_empty() && !pod.phase.is_terminal();
    Some(if is_due { wanted.unwrap_or(GRACE) } else { 0 })
}
