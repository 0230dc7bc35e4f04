"""What a program that uses the official Python client sees of this controller.

Each function below `FLOWS` is one flow, told in a namespace of its own. It uses the client wherever the client can do it,
and plain requests for what belongs to an administrator: templates, pools, Pods. Pods of the test cluster run nothing, so
no flow executes a command.
"""
import asyncio, concurrent.futures, importlib.metadata, logging, sys, time, traceback

from k8s_agent_sandbox import SandboxClient
from k8s_agent_sandbox.exceptions import (
    SandboxClaimFailedError, SandboxMetadataError, SandboxNotFoundError, SandboxTemplateNotFoundError,
    SandboxWarmPoolNotFoundError,
)
from kubernetes import client, config, watch

EXTENSIONS = ("extensions.agents.x-k8s.io", "v1beta1")
LABEL = "agents.x-k8s.io/"

# How long anything may take that is not timed: seconds when idle, more beside a compiler.
PATIENCE = 60

# How soon a client must learn that something does not exist: it is told, not left to wait.
TOLD_WITHIN = 15

VOLUME = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}

FLOWS = []


def flow(function):
    FLOWS.append(function)
    return function


@flow
def creates_a_warm_sandbox(w):
    """A claim gets a member, with everything that the client reads (CON-012, CON-031, CON-040, CON-043)."""
    w.pool(1)
    sandbox = w.client.create_sandbox("pool", w.namespace)
    assert sandbox.sandbox_id.startswith("pool-"), sandbox.sandbox_id
    assert sandbox.status() == ("SandboxReady", "Pod is Ready"), sandbox.status()
    assert sandbox.get_pod_name() == sandbox.sandbox_id
    bound = w.claim(sandbox.claim_name)["status"]["sandbox"]
    assert bound == {"name": sandbox.sandbox_id, "podIPs": [sandbox.get_pod_ip()]}, bound
    labels = w.sandbox(sandbox.sandbox_id)["metadata"]["labels"]
    assert labels[LABEL + "launch-type"] == "warm" and labels[LABEL + "created-by"] == "python-client", labels
    assert LABEL + "warm-pool-sandbox" not in labels, labels
    w.until("the Pod loses the pool's label", lambda: LABEL + "warm-pool-sandbox" not in w.pod(sandbox.sandbox_id).metadata.labels)


@flow
def creates_a_cold_sandbox(w):
    """A pool that keeps none ready starts one of the claim's name (CON-041)."""
    w.pool(0)
    sandbox = w.client.create_sandbox("pool", w.namespace)
    assert sandbox.sandbox_id == sandbox.claim_name
    assert sandbox.status()[0] == "SandboxReady"
    assert w.sandbox(sandbox.sandbox_id)["metadata"]["labels"][LABEL + "launch-type"] == "cold"


@flow
def sees_name_addresses_and_ready_in_one_version(w):
    """No version of the claim says Ready without the name and the addresses, and there is one such write (CON-012, CON-013)."""
    w.pool(1)
    sandbox = w.client.create_sandbox("pool", w.namespace)
    told = []
    for claim in w.history(sandbox.claim_name):
        status = claim.get("status")
        if status and (not told or told[-1] != status):
            told.append(status)
    assert len(told) == 1, told
    [ready] = [c for c in told[0]["conditions"] if c["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("True", "DependenciesReady"), ready
    assert told[0]["sandbox"]["name"] == sandbox.sandbox_id and told[0]["sandbox"]["podIPs"], told


@flow
def finds_what_it_put_on_its_claim(w):
    """The client's labels and annotations stay as they were, and select (CON-005)."""
    w.pool(1)
    sandbox = w.client.create_sandbox("pool", w.namespace, labels={"team": "a"})
    other = w.client.create_sandbox("pool", w.namespace, labels={"team": "b"})
    assert w.client.list_all_sandboxes(w.namespace, "team=a") == [sandbox.claim_name]
    assert sorted(w.client.list_all_sandboxes(w.namespace)) == sorted([sandbox.claim_name, other.claim_name])
    assert sorted(w.client.list_active_sandboxes()) == sorted((w.namespace, s.claim_name) for s in (sandbox, other))
    metadata = w.claim(sandbox.claim_name)["metadata"]
    assert metadata["labels"] == {"team": "a", LABEL + "created-by": "python-client"}, metadata
    assert LABEL + "client-first-requested-at" in metadata["annotations"], metadata


@flow
def adopts_a_claim_that_exists(w):
    """A named claim is created once; a second client attaches to it and gets the same sandbox (CON-004, CON-010)."""
    w.pool(1)
    first = w.client.create_sandbox("pool", w.namespace, claim_name="mine")
    conflict = raises(client.ApiException, lambda: w.client.create_sandbox("pool", w.namespace, claim_name="mine"))
    assert conflict.status == 409, conflict
    again = w.new_client().create_sandbox("pool", w.namespace, claim_name="mine", adopt_existing=True)
    assert again.sandbox_id == first.sandbox_id
    wrong = raises(ValueError, lambda: w.client.create_sandbox("elsewhere", w.namespace, claim_name="mine", adopt_existing=True))
    assert "references warm pool 'pool'" in str(wrong), wrong


@flow
def gets_a_sandbox_by_its_claim(w):
    """Another client finds the sandbox by the claim's name, and the pool that it came from (CON-010)."""
    w.pool(1)
    made = w.client.create_sandbox("pool", w.namespace)
    other = w.new_client()
    found = other.get_sandbox(made.claim_name, w.namespace, resolve_timeout=5)
    assert (found.sandbox_id, found.get_pod_ip()) == (made.sandbox_id, made.get_pod_ip())
    assert other.get_sandbox(made.claim_name, w.namespace) is found
    assert other.get_sandbox_claim_warmpool_name(made.claim_name, w.namespace) == "pool"
    raises(SandboxNotFoundError, lambda: other.get_sandbox("nobody", w.namespace, resolve_timeout=1))


@flow
def is_told_that_there_is_no_pool(w):
    """A missing pool is an error of its own, at once, and leaves no claim behind (CND-011, CON-016)."""
    error = timed(TOLD_WITHIN, lambda: raises(
        SandboxWarmPoolNotFoundError, lambda: w.client.create_sandbox("nowhere", w.namespace)))
    assert 'SandboxWarmPool "nowhere" not found' in str(error), error
    w.until("the client has deleted its claim", lambda: w.client.list_all_sandboxes(w.namespace) == [])


@flow
def is_told_that_there_is_no_template(w):
    """A missing template likewise (CND-010, CON-017)."""
    w.pool(1, template=None)
    error = timed(TOLD_WITHIN, lambda: raises(
        SandboxTemplateNotFoundError, lambda: w.client.create_sandbox("pool", w.namespace)))
    assert 'SandboxTemplate "template" not found' in str(error), error
    w.until("the client has deleted its claim", lambda: w.client.list_all_sandboxes(w.namespace) == [])


@flow
def is_served_when_the_pool_comes_later(w):
    """A claim that was told so is served as soon as its pool exists (CON-016)."""
    raises(SandboxWarmPoolNotFoundError, lambda: w.client.create_sandbox("pool", w.namespace, claim_name="early"))
    w.pool(1)
    w.until("the claim is Ready", lambda: w.condition(w.claim("early")) == "True")
    sandbox = w.client.create_sandbox("pool", w.namespace, claim_name="early", adopt_existing=True)
    assert sandbox.status()[0] == "SandboxReady"


@flow
def gives_up_after_its_timeout_and_leaves_nothing(w):
    """A sandbox that cannot start is no error but a timeout; with the claim goes what was started for it (CON-019, CON-049)."""
    w.pool(0, nodeSelector={"no": "such-node"})
    raises(TimeoutError, lambda: w.client.create_sandbox("pool", w.namespace, sandbox_ready_timeout=3))
    w.until("nothing is left", lambda: (w.client.list_all_sandboxes(w.namespace), w.sandboxes(), w.pods()) == ([], [], []))


@flow
def waits_through_a_slow_start(w):
    """A claim that waits for its Pod is not told anything final (CON-019)."""
    w.pool(0, nodeSelector={"comes": "later"})
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(w.client.create_sandbox, "pool", w.namespace, PATIENCE, claim_name="slow")
        w.until("the Pod is there", lambda: w.pods() == ["slow"])
        w.until("the claim says why it waits", lambda: w.condition(w.claim("slow")) == "False")
        assert not waiting.done(), waiting
        node = w.core.list_node().items[0].metadata.name
        w.core.patch_node(node, {"metadata": {"labels": {"comes": "later"}}})
        try:
            assert waiting.result().sandbox_id == "slow"
        finally:
            w.core.patch_node(node, {"metadata": {"labels": {"comes": None}}})


@flow
def is_told_that_its_claim_was_deleted(w):
    """Whoever waits for a claim that somebody deletes learns it at once (CON-006)."""
    w.pool(0, nodeSelector={"no": "such-node"})
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(w.client.create_sandbox, "pool", w.namespace, PATIENCE, claim_name="doomed")
        w.until("the claim is there", lambda: w.client.list_all_sandboxes(w.namespace) == ["doomed"])
        w.until("the Pod is there", lambda: w.pods() == ["doomed"])
        w.new_client().delete_sandbox("doomed", w.namespace)
        error = timed(TOLD_WITHIN, lambda: raises((SandboxMetadataError, SandboxNotFoundError), waiting.result))
        assert "doomed" in str(error), error


@flow
def deletes_what_it_created(w):
    """With the claim go its sandbox and Pod; a second delete is a success, and the pool stays full (CON-049, CON-060)."""
    w.pool(2)
    sandbox = w.client.create_sandbox("pool", w.namespace)
    name, claim = sandbox.sandbox_id, sandbox.claim_name
    w.client.delete_sandbox(claim, w.namespace)
    w.until("sandbox and Pod are gone", lambda: name not in w.sandboxes() + w.pods())
    w.client.delete_sandbox(claim, w.namespace)
    sandbox.terminate()
    assert sandbox.status()[0] == "SandboxNotFound"
    raises(SandboxNotFoundError, lambda: w.client.get_sandbox(claim, w.namespace, resolve_timeout=1))
    w.full("pool", 2)
    assert len(w.sandboxes()) == 2, w.sandboxes()


@flow
def cleans_up_at_the_end_of_a_block(w):
    """The end of a `with` block deletes the claims that the client has named, and keeps those that the user has."""
    w.pool(1)
    with w.new_client() as temporary:
        temporary.create_sandbox("pool", w.namespace)
        kept = temporary.create_sandbox("pool", w.namespace, claim_name="kept")
    assert w.client.list_all_sandboxes(w.namespace) == ["kept"]
    assert w.client.get_sandbox("kept", w.namespace).sandbox_id == kept.sandbox_id


@flow
def gets_a_sandbox_of_its_own_in_a_crowd(w):
    """Twelve at once on a pool of four: twelve sandboxes, and four ready ones afterwards (CON-045, CON-060)."""
    w.pool(4)
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        made = [threads.submit(w.new_client().create_sandbox, "pool", w.namespace) for _ in range(12)]
        sandboxes = [each.result() for each in made]
    assert len({sandbox.sandbox_id for sandbox in sandboxes}) == 12
    assert len({sandbox.get_pod_ip() for sandbox in sandboxes}) == 12
    assert sum(sandbox.sandbox_id.startswith("pool-") for sandbox in sandboxes) >= 4
    w.full("pool", 4)
    assert len(w.sandboxes()) == 16, w.sandboxes()


@flow
def scales_a_pool(w):
    """The scale subresource works both ways, and says what there is (CON-060, CON-061, CON-062)."""
    w.pool(1)
    for replicas in (3, 0):
        w.custom.patch_namespaced_custom_object_scale(
            *EXTENSIONS, w.namespace, "sandboxwarmpools", "pool", {"spec": {"replicas": replicas}})
        w.full("pool", replicas)
        w.until(f"{replicas} sandboxes", lambda: len(w.sandboxes()) == replicas)
    scale = w.custom.get_namespaced_custom_object_scale(*EXTENSIONS, w.namespace, "sandboxwarmpools", "pool")
    assert scale["status"]["selector"].startswith(LABEL + "warm-pool-sandbox="), scale


@flow
def gives_its_sandbox_variables(w):
    """A claim with variables is started cold with them, and leaves the ready member to others (CON-003)."""
    w.pool(1, policies={"envVarsInjectionPolicy": "Allowed"})
    sandbox = w.client.create_sandbox("pool", w.namespace, env={"COLOUR": "blue"})
    assert sandbox.sandbox_id == sandbox.claim_name
    [container] = w.pod(sandbox.sandbox_id).spec.containers
    assert [(e.name, e.value) for e in container.env] == [("COLOUR", "blue")], container.env
    w.full("pool", 1)
    assert len(w.sandboxes()) == 2, w.sandboxes()


@flow
def gives_its_sandbox_a_volume(w):
    """A claim with a volume is started cold, and its Pod mounts the volume claim that was made for it (CON-003, CON-050)."""
    w.pool(1, policies={"volumeClaimTemplatesPolicy": "Allowed"})
    sandbox = w.client.create_sandbox("pool", w.namespace, volume_claim_templates=[VOLUME])
    assert sandbox.sandbox_id == sandbox.claim_name
    [claimed] = [v.persistent_volume_claim for v in w.pod(sandbox.sandbox_id).spec.volumes if v.persistent_volume_claim]
    assert claimed.claim_name == "data-" + sandbox.sandbox_id, claimed
    made = w.core.read_namespaced_persistent_volume_claim(claimed.claim_name, w.namespace)
    assert [owner.name for owner in made.metadata.owner_references] == [sandbox.sandbox_id], made.metadata


@flow
def sees_its_sandbox_suspended_and_resumed(w):
    """While it is suspended the client sees neither readiness nor an address, and afterwards both again (CON-036)."""
    w.pool(1)
    sandbox = w.client.create_sandbox("pool", w.namespace)
    for mode, status in [("Suspended", "SandboxNotReady"), ("Running", "SandboxReady")]:
        w.custom.patch_namespaced_custom_object(
            "agents.x-k8s.io", "v1beta1", w.namespace, "sandboxes", sandbox.sandbox_id, {"spec": {"operatingMode": mode}})
        w.until(f"the sandbox is {mode}", lambda: sandbox.status()[0] == status)
        w.until("its address follows", lambda: (sandbox.get_pod_ip() is None) == (mode == "Suspended"))
    assert w.client.get_sandbox(sandbox.claim_name, w.namespace).sandbox_id == sandbox.sandbox_id


@flow
def labels_its_pod(w):
    """Metadata for the Pod reaches that of a member and of a cold start, and a later edit does too (CON-037)."""
    w.pool(1)
    w.create("SandboxWarmPool", "empty", {"replicas": 0, "sandboxTemplateRef": {"name": "template"}})
    for pool in ("pool", "empty"):
        sandbox = w.client.create_sandbox(
            pool, w.namespace, pod_labels={"sandbox.users.io/team": "a"}, pod_annotations={"note": "x"})
        labels = lambda: w.pod(sandbox.sandbox_id).metadata.labels.get("sandbox.users.io/team")
        w.until("the Pod has the label", lambda: labels() == "a")
        w.until("the Pod has the note", lambda: w.pod(sandbox.sandbox_id).metadata.annotations.get("note") == "x")
        edit = {"spec": {"additionalPodMetadata": {"labels": {"sandbox.users.io/team": "b"}}}}
        w.client.k8s_helper.patch_sandbox_claim(sandbox.claim_name, w.namespace, edit)
        w.until("the Pod has the other label", lambda: labels() == "b")


@flow
def is_told_what_its_template_forbids(w):
    """What a template does not allow is a failure of its own, at once, and leaves no claim behind (CON-018)."""
    w.pool(1)
    for reason, wish in [
        ("EnvVarsInjectionRejected", {"env": {"COLOUR": "blue"}}),
        ("VolumeClaimTemplatesError", {"volume_claim_templates": [VOLUME]}),
        ("InvalidMetadata", {"pod_labels": {"team": "a"}}),
    ]:
        error = timed(TOLD_WITHIN, lambda: raises(
            SandboxClaimFailedError, lambda: w.client.create_sandbox("pool", w.namespace, **wish)))
        assert reason in str(error), error
    w.until("the client has deleted its claims", lambda: w.client.list_all_sandboxes(w.namespace) == [])
    w.full("pool", 1)


@flow
def creates_lists_and_deletes_without_threads(w):
    """The asynchronous client does the same."""
    w.pool(1)

    async def run():
        import kubernetes_asyncio
        from k8s_agent_sandbox import AsyncSandboxClient
        from k8s_agent_sandbox.models import SandboxDirectConnectionConfig

        await kubernetes_asyncio.config.load_kube_config()
        # It has no tunnel of its own, and here nobody connects.
        async with AsyncSandboxClient(SandboxDirectConnectionConfig(api_url="http://nowhere.invalid")) as own:
            sandbox = await own.create_sandbox("pool", w.namespace)
            assert sandbox.sandbox_id.startswith("pool-"), sandbox.sandbox_id
            assert (await sandbox.status())[0] == "SandboxReady"
            assert await own.list_all_sandboxes(w.namespace) == [sandbox.claim_name]
            await own.delete_sandbox(sandbox.claim_name, w.namespace)
            try:
                await own.create_sandbox("nowhere", w.namespace)
            except SandboxWarmPoolNotFoundError:
                pass
            else:
                raise AssertionError("a pool that does not exist was found")

    asyncio.run(run())
    w.until("no claim is left", lambda: w.client.list_all_sandboxes(w.namespace) == [])


class World:
    """A namespace, a client, and what an administrator does in it."""

    def __init__(self, flow):
        self.core, self.custom = client.CoreV1Api(), client.CustomObjectsApi()
        purpose = flow.__name__.replace("_", "-")[:50].rstrip("-")
        made = self.core.create_namespace({"metadata": {"generateName": purpose + "-"}})
        self.namespace = made.metadata.name
        self.client = self.new_client()
        claims = self.custom.list_namespaced_custom_object(*EXTENSIONS, self.namespace, "sandboxclaims")
        self.begin = claims["metadata"]["resourceVersion"]

    def new_client(self):
        return SandboxClient()

    def pool(self, replicas, name="pool", template="template", policies={}, **pod):
        """Makes a pool with its template, and waits until it is full."""
        if template:
            spec = {"containers": [{"name": "main", "image": "debian"}], **pod}
            self.create("SandboxTemplate", template, {"podTemplate": {"spec": spec}, **policies})
        self.create("SandboxWarmPool", name, {"replicas": replicas, "sandboxTemplateRef": {"name": template or "template"}})
        if template:
            self.full(name, replicas)

    def create(self, kind, name, spec):
        body = {"apiVersion": "/".join(EXTENSIONS), "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.custom.create_namespaced_custom_object(*EXTENSIONS, self.namespace, kind.lower() + "s", body)

    def full(self, name, replicas):
        def is_full():
            status = self.get(*EXTENSIONS, "sandboxwarmpools", name).get("status", {})
            return status.get("readyReplicas", 0) == replicas and status.get("replicas", 0) == replicas and "selector" in status

        self.until(f"{name} has {replicas} ready", is_full)

    def get(self, group, version, plural, name):
        return self.custom.get_namespaced_custom_object(group, version, self.namespace, plural, name)

    def claim(self, name):
        return self.get(*EXTENSIONS, "sandboxclaims", name)

    def condition(self, claim):
        return next((c["status"] for c in claim.get("status", {}).get("conditions", []) if c["type"] == "Ready"), None)

    def history(self, name):
        """Every version of a claim from its creation on, and for two seconds from now."""
        stream = watch.Watch().stream(
            self.custom.list_namespaced_custom_object, *EXTENSIONS, self.namespace, "sandboxclaims",
            field_selector="metadata.name=" + name, resource_version=self.begin, timeout_seconds=2)
        return [event["object"] for event in stream]

    def sandbox(self, name):
        return self.get("agents.x-k8s.io", "v1beta1", "sandboxes", name)

    def sandboxes(self):
        listed = self.custom.list_namespaced_custom_object("agents.x-k8s.io", "v1beta1", self.namespace, "sandboxes")
        return [item["metadata"]["name"] for item in listed["items"]]

    def pod(self, name):
        return self.core.read_namespaced_pod(name, self.namespace)

    def pods(self):
        return [pod.metadata.name for pod in self.core.list_namespaced_pod(self.namespace).items]

    def until(self, what, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
            time.sleep(0.05)


def raises(kind, act):
    """Returns the error that `act` ends with."""
    try:
        result = act()
    except kind as error:
        return error
    raise AssertionError(f"{result!r}, and not {kind}")


def timed(seconds, act):
    start = time.monotonic()
    result = act()
    took = time.monotonic() - start
    assert took < seconds, f"it took {took:.1f} s"
    return result


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    # The client reports as errors what a flow provokes.
    logging.disable(logging.ERROR)
    config.load_kube_config()
    print(f"k8s-agent-sandbox {importlib.metadata.version('k8s-agent-sandbox')}")
    passed = failed = 0
    for each in FLOWS:
        if word not in each.__name__:
            continue
        start = time.monotonic()
        try:
            each(World(each))
        except Exception:
            failed += 1
            print(f"FAIL {each.__name__}\n{traceback.format_exc()}", flush=True)
        else:
            passed += 1
            print(f"ok   {each.__name__} ({time.monotonic() - start:.1f} s): {each.__doc__}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
