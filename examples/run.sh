#!/usr/bin/env bash
# Runs every example by the commands of its README, with a browser and the phone of `saoma try`; one that is no site to open
# has a run.sh of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --package saoma
mkdir -p target/examples-run
node --test --test-concurrency=1 examples/run.test.mjs
for script in examples/*/run.sh; do
    if [ -x "$script" ]; then "$script"; fi
done
