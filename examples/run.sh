#!/usr/bin/env bash
# Runs every example by the commands of its README, with a browser and the phone of `saoma try`.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --package saoma
mkdir -p target/examples-run
exec node --test --test-concurrency=1 examples/run.test.mjs
