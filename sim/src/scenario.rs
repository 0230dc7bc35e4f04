//! A load on a cluster, told in a file: who claims how much when, which pools there are, how long Pods take to
//! start, and what goes wrong when.
//!
//! [`read`] reads and checks such a file, [`plan`] turns it into what users do and what the cluster is like,
//! [`outcome`] runs it with several seeds and says what users felt and what it cost. `docs/scenarios.md` tells the
//! format; `scenarios/schema.json` is made of the types here.

pub mod delay;
pub mod gauges;
pub mod library;
pub mod outcome;
pub mod plan;
pub mod read;
mod spread;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::delay::{Count, Delay, PerSecond, Span};

/// A load on a cluster.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in one line.
    pub about: String,
    /// How long it goes on. What was claimed until then is served afterwards, without faults.
    #[serde(rename = "for")]
    pub duration: Span,
    /// The warm pools.
    pub pools: Vec<PoolPlan>,
    /// When claims come; several processes add up.
    pub arrivals: Vec<Arrivals>,
    /// How long users keep a sandbox, from Ready to the deletion of the claim; for ever if it is not given.
    #[serde(default)]
    pub hold: Option<Delay>,
    /// How long users wait for Ready before they give up and delete the claim; for ever if it is not given.
    #[serde(default)]
    pub patience: Option<Delay>,
    /// How long a Pod takes to be Ready once it has a node and its image.
    pub start: Delay,
    /// The nodes.
    #[serde(default)]
    pub nodes: Nodes,
    /// How the controller is started.
    #[serde(default)]
    pub controller: Flags,
    /// What goes wrong, or is changed, and when.
    #[serde(default)]
    pub faults: Vec<Trouble>,
}

/// A warm pool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolPlan {
    /// Its name, with which arrivals refer to it.
    pub name: String,
    /// `spec.replicas`: how many members it keeps.
    pub replicas: Count,
    /// `spec.updateStrategy`: what becomes of its members when the template changes.
    #[serde(default)]
    pub update: Strategy,
}

/// What becomes of a pool's members when the template changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Strategy {
    /// They stay until they are taken; new ones are made from the new template.
    #[default]
    OnReplenish,
    /// They are replaced at once, half of them at a time.
    Recreate,
}

/// When claims come.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// So many within a short time.
    Burst {
        /// When it begins.
        at: Span,
        /// How many claims.
        claims: Count,
        /// Within which time, evenly; all at once if it is not given.
        #[serde(default)]
        within: Span,
        /// Which pool they claim from; the first if it is not given.
        #[serde(default)]
        pool: Option<String>,
    },
    /// Independent users (a Poisson process): so many a second on average.
    Poisson {
        /// When it begins; at the beginning if it is not given.
        #[serde(default)]
        from: Span,
        /// When it ends; at the end if it is not given.
        #[serde(default)]
        to: Option<Span>,
        /// How many claims a second.
        rate: PerSecond,
        /// Which pool they claim from; the first if it is not given.
        #[serde(default)]
        pool: Option<String>,
    },
    /// Independent users whose number follows the day: a wave between two rates.
    Diurnal {
        /// The rate in the deepest night. **Unit**: claims a second.
        low: PerSecond,
        /// The rate at the height of the day. **Unit**: claims a second.
        high: PerSecond,
        /// How long a day is.
        day: Span,
        /// When the rate is highest, from the beginning; half a day if it is not given.
        #[serde(default)]
        peak: Option<Span>,
        /// Which pool they claim from; the first if it is not given.
        #[serde(default)]
        pool: Option<String>,
    },
}

/// The nodes, and what they do with images.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nodes {
    /// How many there are; Pods are spread evenly.
    pub count: Count,
    /// How long a node takes to pull an image that it does not have; none if it is not given.
    pub pull: Option<Delay>,
    /// How many nodes the registry serves at the same time; the others wait.
    pub pulls_at_once: Count,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { count: Count(10), pull: None, pulls_at_once: Count(u32::MAX) }
    }
}

/// How the controller is started; each is one of its flags, and has the flag's default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Flags {
    /// `--sandbox-warm-pool-replenish-delay`: how long a pool that has lost a member makes no other.
    pub replenish_delay: Option<Span>,
    /// `--sandbox-warm-pool-max-refill-rate`: how many members a second a pool makes at most.
    pub refill_rate: Option<PerSecond>,
    /// `--sandbox-warm-pool-readiness-grace-period`: how long a member may be not ready before it is replaced.
    pub readiness_grace: Option<Span>,
}

/// What goes wrong, or is changed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trouble {
    /// A quota allows only so many Pods.
    Quota {
        /// When it is set.
        from: Span,
        /// When it is lifted.
        to: Span,
        /// How many Pods may be there.
        pods: Count,
    },
    /// The API server answers 429 to all that goes beyond a rate.
    Throttling {
        /// When it begins.
        from: Span,
        /// When it ends.
        to: Span,
        /// How many requests of controllers a second are let through; those of one second at once.
        requests: PerSecond,
    },
    /// The API server takes long.
    SlowServer {
        /// When it begins.
        from: Span,
        /// When it ends.
        to: Span,
        /// How much longer each request takes.
        by: Delay,
    },
    /// Nodes go, with their Pods; the others get what is made afterwards.
    NodeLoss {
        /// When.
        at: Span,
        /// How many nodes.
        nodes: Count,
    },
    /// The template gets another image.
    Rollout {
        /// When.
        at: Span,
    },
    /// The controller that leads dies, and another takes over.
    Crash {
        /// When.
        at: Span,
    },
    /// A user sets `spec.replicas`.
    Scale {
        /// When.
        at: Span,
        /// How many members.
        replicas: Count,
        /// Which pool; the first if it is not given.
        #[serde(default)]
        pool: Option<String>,
    },
}
