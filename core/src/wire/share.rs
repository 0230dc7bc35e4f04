//! One copy of what many objects say.
//!
//! Ten thousand members of a pool have the same labels, conditions and Pod spec, and each comes from the server with its
//! own copy. A [`Sharer`] remembers what it saw and lets the next object that says the same share it. It is no part of a
//! machine: objects that share are equal to objects that do not, so nothing depends on what it remembers.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::Text;
use crate::names;
use crate::object::{Condition, Json, Labels, Meta, Object, PodMetadata};

/// Remembers texts, labels and specs, as many as there is room for: the newer takes the place of an older one.
#[derive(Clone, Debug)]
pub struct Sharer {
    texts: Places<Text>,
    labels: Places<Labels>,
    specs: Places<Json>,
}

/// Room for this many texts.
///
/// Source: an object says about five that no other says, so one that all say loses its place, and is copied once more,
/// every 800 objects. The empty room takes 64 kB.
const TEXTS: usize = 4096;

/// Room for this many labels of objects, and as many specs: several for each pool of a large cluster.
const SETS: usize = 512;

impl Default for Sharer {
    fn default() -> Self {
        Self { texts: Places::new(TEXTS), labels: Places::new(SETS), specs: Places::new(SETS) }
    }
}

impl Sharer {
    /// Lets an object share what it says, unless somebody else holds it: then it stays as it is.
    pub fn share(&mut self, object: &mut Object) {
        match object {
            Object::Claim(claim) => {
                let Some(claim) = Arc::get_mut(claim) else { return };
                self.meta(&mut claim.meta);
                self.text(&mut claim.pool);
                self.conditions(&mut claim.status.conditions);
                if let Some(bound) = &mut claim.status.sandbox {
                    self.text(&mut bound.name);
                    self.texts(&mut bound.pod_ips);
                }
            }
            Object::Sandbox(sandbox) => {
                let Some(sandbox) = Arc::get_mut(sandbox) else { return };
                self.meta(&mut sandbox.meta);
                self.pod_metadata(&mut sandbox.pod);
                self.spec(&mut sandbox.pod_spec);
                sandbox.volume_claims.iter_mut().for_each(|spec| self.spec(spec));
                self.conditions(&mut sandbox.status.conditions);
                self.texts(&mut sandbox.status.pod_ips);
                self.text(&mut sandbox.status.node);
                self.text(&mut sandbox.status.selector);
            }
            Object::Pod(pod) => {
                let Some(pod) = Arc::get_mut(pod) else { return };
                self.meta(&mut pod.meta);
                if let Some((_, reason, message)) = &mut pod.scheduled {
                    self.text(reason);
                    self.text(message);
                }
                self.texts(&mut pod.ips);
                self.text(&mut pod.node);
            }
            Object::Service(it) | Object::VolumeClaim(it) | Object::NetworkPolicy(it) => {
                let Some(it) = Arc::get_mut(it) else { return };
                self.meta(&mut it.meta);
                self.spec(&mut it.spec);
            }
            // There are few of them.
            Object::Pool(_) | Object::Template(_) => {}
        }
    }

    fn meta(&mut self, meta: &mut Meta) {
        self.text(&mut meta.key.namespace);
        self.text(&mut meta.key.name);
        self.labels(&mut meta.labels);
        self.labels(&mut meta.annotations);
        if let Some(owner) = &mut meta.owner {
            self.text(&mut owner.name);
        }
    }

    fn pod_metadata(&mut self, pod: &mut PodMetadata) {
        self.labels(&mut pod.labels);
        self.labels(&mut pod.annotations);
    }

    fn conditions(&mut self, conditions: &mut Vec<Condition>) {
        conditions.shrink_to_fit();
        for condition in conditions {
            self.text(&mut condition.kind);
            self.text(&mut condition.reason);
            self.text(&mut condition.message);
        }
    }

    fn texts(&mut self, texts: &mut Vec<Text>) {
        texts.shrink_to_fit();
        texts.iter_mut().for_each(|text| self.text(text));
    }

    fn text(&mut self, text: &mut Text) {
        let hash = names::hash(0, text);
        self.texts.share(hash, text);
    }

    fn labels(&mut self, labels: &mut Labels) {
        let hash = labels.iter().fold(0, |so_far, (key, value)| names::hash(names::hash(so_far, key), value));
        if !self.labels.find(hash, labels) {
            labels.for_each_text(|text| self.text(text));
            self.labels.keep(hash, labels);
        }
    }

    fn spec(&mut self, spec: &mut Json) {
        let hash = names::hash(0, spec.text());
        self.specs.share(hash, spec);
    }
}

/// Values by their hash; of two that want one place, the newer has it.
#[derive(Clone, Debug)]
struct Places<T>(Vec<Option<T>>);

impl<T: Clone + Eq> Places<T> {
    fn new(count: usize) -> Self {
        Self(alloc::vec![None; count])
    }

    /// Replaces a value by the equal one that is remembered, or remembers it.
    fn share(&mut self, hash: u64, value: &mut T) {
        if !self.find(hash, value) {
            self.keep(hash, value);
        }
    }

    /// Replaces a value by the equal one that is remembered. Returns whether there is one.
    fn find(&self, hash: u64, value: &mut T) -> bool {
        match self.0.get(self.place(hash)) {
            Some(Some(known)) if known == value => {
                *value = known.clone();
                true
            }
            _ => false,
        }
    }

    fn keep(&mut self, hash: u64, value: &T) {
        let place = self.place(hash);
        self.0[place] = Some(value.clone());
    }

    const fn place(&self, hash: u64) -> usize {
        (hash % self.0.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Kind;
    use crate::wire::decode;

    const SANDBOX: &str = r#"{
        "metadata": {
            "name": "NAME", "namespace": "default", "uid": "UID", "resourceVersion": "7",
            "labels": { "app": "x" }, "annotations": { "agents.x-k8s.io/pod-name": "NAME" }
        },
        "spec": { "podTemplate": { "spec": { "containers": [] } } },
        "status": { "conditions": [
            { "type": "Ready", "status": "True", "reason": "DependenciesReady", "message": "Pod is Ready" }
        ] }
    }"#;

    #[test]
    fn what_two_objects_say_alike_is_there_once_and_reads_the_same() {
        let mut sharer = Sharer::default();
        let [a, b] = ["a", "b"].map(|name| {
            let json = SANDBOX.replace("NAME", name).replace("UID", name);
            let plain = decode(Kind::Sandbox, &json).unwrap();
            let mut shared = decode(Kind::Sandbox, &json).unwrap();
            sharer.share(&mut shared);
            assert_eq!(shared, plain);
            let Object::Sandbox(sandbox) = shared else { unreachable!("it is what it was") };
            sandbox
        });
        let is_same = |a: &Text, b: &Text| Arc::ptr_eq(a, b);
        assert!(is_same(&a.meta.key.namespace, &b.meta.key.namespace));
        assert!(is_same(&a.status.conditions[0].message, &b.status.conditions[0].message));
        assert!(is_same(a.meta.labels.get("app").unwrap(), b.meta.labels.get("app").unwrap()));
        assert!(is_same(&a.meta.key.name, a.meta.annotations.get(names::POD_NAME).unwrap()));
        assert!(core::ptr::eq(a.pod_spec.text(), b.pod_spec.text()));
        assert_ne!(a.meta.annotations, b.meta.annotations);
    }
}
