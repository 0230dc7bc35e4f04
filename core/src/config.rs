//! Limits and delays, each with its reason.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Text;
use crate::mutant::Mutant;
use crate::pace::Rate;

/// How a machine is set up. The same for its whole life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Whether claims, pools and templates are handled too, or sandboxes alone.
    pub extensions: bool,
    /// Most actions that may be unanswered at once. Others are not queued: they are decided when their turn comes.
    pub in_flight_max: usize,
    /// How long a claim waits for a member that is starting before it gets a sandbox of its own.
    ///
    /// Source: the original's grace for members without an address, 2 s.
    pub adopt_grace: Duration,
    /// How long bad news about something that is starting is held back, so that good news may overtake it.
    pub settle: Duration,
    /// The least time between two status writes of one pool.
    pub pool_status_interval: Duration,
    /// How long a member may be not ready before it is replaced, unless no node has room for it; [`Duration::MAX`] is
    /// for ever.
    ///
    /// Source: the original's readiness grace, 5 min, which counts from the member's creation.
    pub readiness_grace: Duration,
    /// How long a member has not been ready at least when it is replaced because its Pod ended; [`Duration::MAX`] is never. A
    /// template whose Pods end at once must not keep the cluster busy.
    pub ended_grace: Duration,
    /// How long after a member has left a pool that is short makes no other, so that what a burst of claims needs comes
    /// first; zero is for not at all. Each loss begins it anew: under claims that keep coming the pool is not refilled.
    ///
    /// Source: the original's replenish delay.
    #[serde(default)]
    pub replenish_delay: Duration,
    /// How many members a second one pool is refilled with at most, after those of one second at once.
    ///
    /// Source: the original's refill rate.
    #[serde(default)]
    pub refill_rate: Rate,
    /// How long the server may work on a write; sent along as `timeout=`.
    pub write_timeout: Duration,
    /// How much longer than [`Config::write_timeout`] an unanswered create may still take effect.
    pub write_margin: Duration,
    /// The first delay after a failure; each further failure doubles it.
    pub backoff_min: Duration,
    /// The longest delay after failures.
    pub backoff_max: Duration,
    /// The domains of labels that claims may put on their Pods, with all that lie below; where it is empty,
    /// `sandbox.users.io` alone.
    #[serde(default)]
    pub label_domains: Vec<Text>,
    /// Whether to note on claims when they were first seen.
    #[serde(default = "yes")]
    pub claim_annotations: bool,
    /// Whether an autoscaler may move the Pods of members to remove a node (KEY-011), unless their template says something
    /// about it.
    #[serde(default = "yes")]
    pub evict_members: bool,
    /// The domain of the cluster's DNS, in which Services have their names.
    #[serde(default = "cluster_domain")]
    pub cluster_domain: Text,
    /// Whether to write Kubernetes Events about claims.
    pub claim_events: bool,
    /// The one defect to have, for the simulator to find.
    #[cfg(feature = "mutants")]
    #[serde(skip)]
    pub mutant: Option<Mutant>,
}

impl Config {
    /// Returns whether it asks for this defect: never, in a normal build.
    #[cfg(feature = "mutants")]
    pub fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Returns whether it asks for this defect: never, in a normal build.
    #[cfg(not(feature = "mutants"))]
    pub const fn has(&self, _: Mutant) -> bool {
        false
    }

    /// Returns whether it asks for any defect.
    pub(crate) const fn is_mutant(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.mutant.is_some();
        #[cfg(not(feature = "mutants"))]
        false
    }
}

const fn yes() -> bool {
    true
}

impl Default for Config {
    fn default() -> Self {
        Self {
            extensions: true,
            in_flight_max: 64,
            adopt_grace: Duration::from_secs(2),
            settle: Duration::from_secs(1),
            pool_status_interval: Duration::from_secs(1),
            readiness_grace: Duration::from_secs(300),
            ended_grace: Duration::from_secs(30),
            replenish_delay: Duration::ZERO,
            refill_rate: Rate::UNLIMITED,
            write_timeout: Duration::from_secs(10),
            write_margin: Duration::from_secs(5),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(30),
            label_domains: Vec::new(),
            claim_annotations: true,
            evict_members: true,
            cluster_domain: cluster_domain(),
            claim_events: true,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}

/// Source: the default of `kubeadm` and of most others.
fn cluster_domain() -> Text {
    "cluster.local".into()
}
