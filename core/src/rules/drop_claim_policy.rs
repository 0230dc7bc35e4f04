use super::{Verdict, delete};
use crate::action::Intent;
use crate::id::{Kind, Uid};
use crate::names;
use crate::time::Now;
use crate::view::View;

/// Deletes the network policy that an older release has made for one claim: its template's policy does that.
///
/// Reads: the policy. Claims are not asked about it, so it costs them nothing (DEF-034).
/// Emits: [`Intent::DeleteNetworkPolicy`], locked to the version on which a claim owns it.
/// Never: one that merely has such a name.
/// Source: CLM-002, HSH-008, DEF-034.
pub(super) fn drop_claim_policy(view: &View<'_>, policy: Uid, _now: Now) -> Verdict {
    let Some(policy) = view.dependent(policy) else { return Verdict::Quiet };
    let meta = &policy.meta;
    if meta.terminating || meta.owner_of_kind(Kind::Claim).is_none() || view.is_held(meta.uid) {
        return Verdict::Quiet;
    }
    let claim = meta.key.name.strip_suffix(names::NETWORK_POLICY_SUFFIX);
    if meta.owner.as_ref().map(|owner| &*owner.name) != claim {
        return Verdict::Quiet;
    }
    delete(Intent::DeleteNetworkPolicy, Kind::NetworkPolicy, meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// ACC-011, ACC-012.
    /// CLM-002, HSH-008, DEF-034: whatever has become of pool and template.
    #[test]
    fn the_policy_that_an_older_release_made_for_a_claim_goes() {
        let world = "claim c1\npolicy c1-network-policy claim=c1";
        check(drop_claim_policy, Kind::NetworkPolicy, world, &["DeleteNetworkPolicy c1-network-policy"]);
    }

    /// ACC-013.
    /// The name alone says nothing, nor does the owner alone.
    #[test]
    fn other_policies_stay() {
        let world = "
            template tpl
            claim c1
            policy tpl-network-policy template=tpl
            policy mine claim=c1
            policy c2-network-policy
        ";
        check(drop_claim_policy, Kind::NetworkPolicy, world, &[]);
    }
}
