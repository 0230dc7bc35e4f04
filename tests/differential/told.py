"""The stories that this controller tells like the original, save what accept.txt lists. run.sh tells them.

A story belongs here as soon as the controller does what it is about.
"""
import os, sys

sys.path.insert(0, os.environ["STORIES"])
import stories

TOLD = """
    claim_cold_from_an_empty_pool claim_deleted claim_for_a_missing_pool
    claim_for_a_missing_template claim_metadata claim_metadata_refused
    claim_shutdown_delete claim_shutdown_retain claim_warm claim_with_env
    claim_with_env_not_allowed claims_more_than_members pool_deleted pool_fills pool_member_deleted
    pool_on_replenish pool_recreate pool_scales_up_and_down pool_without_template sandbox_deleted
    sandbox_foreign_pod_of_the_same_name sandbox_pod_deleted_by_hand sandbox_pod_failed
    sandbox_pod_not_ready sandbox_pod_template_metadata sandbox_shutdown_delete
    sandbox_shutdown_retain sandbox_starts sandbox_suspend_and_resume sandbox_volume_claims
    sandbox_with_service server_refuses template_deleted template_network_policy_default
    template_network_policy_own
"""



def _tell(name):
    story = getattr(stories, name)
    # run.py takes the functions that are defined here.
    story.__module__ = __name__
    globals()[name] = story


for _name in TOLD.split():
    _tell(_name)
