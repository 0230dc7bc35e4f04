# What CI runs, under the names CI uses. `just` lists the recipes, `just ci` runs them all.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")

# List the recipes.
default:
    @just --list --unsorted

# Check the formatting.
fmt:
    cargo fmt --all -- --check

# Look for mistakes and for what clippy.toml bans; a warning is a failure.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Run all tests; those that need a cluster run when `just control-plane` was run before.
test:
    cargo test --workspace --locked

# Build the documentation, private items included, so links to them are welcome; a broken link is a failure.
doc:
    RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --workspace --no-deps --document-private-items --locked

# Play fixed seeds in a release build: those that found bugs, a campaign, and the searches that are too long for `test`.
seeds:
    cargo test --release --package agent-sandbox-sim --locked --test seeds --test explore
    # The tests come with the program; `cargo run` would build it a second time, without the features that tests add.
    "${CARGO_TARGET_DIR:-target}/release/agent-sandbox-sim" hunt --seeds 0..10000 --budget 10m

# Measure: all benches, or one of them, as in `just bench core_events`; benches/README.md says what each answers.
bench NAME="*" *ARGS:
    cargo bench --package agent-sandbox-benches --locked --bench '{{ NAME }}' {{ ARGS }}

# Count the instructions of an event, which a busy machine does not change; needs valgrind, and minutes for 100,000.
instructions *SIZES="1000 10000":
    benches/instructions.sh {{ SIZES }}

# Check licences, sources and banned crates.
deny:
    cargo deny --locked check --hide-inclusion-graph licenses bans sources

# Build etcd, the API server and their like for the cluster tests: minutes the first time, then nothing.
control-plane:
    tests/control-plane/build.sh > /dev/null

# Run the cluster tests; here a missing control plane is a failure.
cluster *ARGS: control-plane
    REQUIRE_APISERVER=1 cargo test --package agent-sandbox-tests --locked {{ ARGS }}

# Compare the controllers with the original's recorded answers, where STORIES names the folder that has them.
differential *ARGS: control-plane
    tests/differential/run.sh {{ ARGS }}

# Run the official Python client, the newest that pip can get, against the controller; a WORD picks flows.
python-client *WORD: control-plane
    REQUIRE_APISERVER=1 tests/clients/python/run.sh {{ WORD }}

# Start a control plane to try things in: `export KUBECONFIG=$(just up)`.
up dir="/tmp/agent-sandbox" *ARGS: control-plane
    @cargo run --quiet --package agent-sandbox-tests --bin control-plane -- up --dir {{ dir }} {{ ARGS }}

# Stop what `just up` started.
down dir="/tmp/agent-sandbox":
    @cargo run --quiet --package agent-sandbox-tests --bin control-plane -- down --dir {{ dir }}

# Format the code, and rewrite the generated files that the tests compare.
fix:
    cargo fmt --all
    UPDATE_CRDS=1 cargo test --package agent-sandbox-controller --locked crd::
    UPDATE_SCHEMA=1 cargo test --package agent-sandbox-sim --locked --test scenarios schema
    UPDATE_RULES=1 UPDATE_DIFFERENCES=1 cargo test --package agent-sandbox-tests --locked --test rules --test differences

# Do all that CI does, in CI's order.
ci:
    bash .ci/run
