#!/usr/bin/env bash
# Fuzzes every target of server/src/fuzz.rs, or those that are named, for so many seconds each:
#   fuzz/run.sh              30 seconds each
#   fuzz/run.sh 3600 request frame
# With LLVM's coverage and libFuzzer, on the stable toolchain: the code is free of `unsafe`, so no sanitizer is needed.
# Where a nightly toolchain is at hand, `cargo fuzz run request` works in this folder too.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-30}
shift || true
targets=("$@")
if [ "${#targets[@]}" = 0 ]; then
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
# A target of its own, so that build scripts and macros go without the coverage.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="$coverage" cargo build --quiet --release --target "$host" --target-dir target

for target in "${targets[@]}"; do
    # What it learns goes beside the committed corpus, what it finds to artifacts/.
    mkdir -p "grown/$target" "artifacts/$target"
    echo "== $target, $seconds s"
    log=artifacts/$target.log
    status=0
    "target/$host/release/$target" "grown/$target" "corpus/$target" -artifact_prefix="artifacts/$target/" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 >"$log" 2>&1 || status=$?
    grep -E 'ERROR|SUMMARY|panicked|DONE|stat::number_of_executed_units|stat::new_units_added' "$log" || true
    # A fuzzer that does not start has found nothing either.
    if [ "$status" != 0 ] || ! grep -q DONE "$log"; then
        echo "found something: fuzz/artifacts/$target, and fuzz/$log" >&2
        exit 1
    fi
done
