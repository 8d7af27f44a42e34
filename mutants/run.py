#!/usr/bin/env python3
"""Breaks each guard of list.toml on purpose and holds that the tests notice: `./dev mutants [WORDS]`.

All mutants are built into one copy of the tree, asleep; SAOMA_MUTANT=7 wakes the seventh. So the code is compiled once, and
each mutant costs no more than the tests that must catch it. With WORDS only those run whose file or text holds them, with
--lib only those that the rules' own tests must catch, which takes a minute. The table goes to docs/mutants.md when all have run.
With --check nothing is broken: the list is held against the code.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "target" / "mutants" / "tree"
AWAKE = """
/// Whether this mutant is the one that is alive.
#[doc(hidden)]
pub fn mutant(number: u32) -> bool {
    static ALIVE: std::sync::LazyLock<Option<u32>> =
        std::sync::LazyLock::new(|| std::env::var("SAOMA_MUTANT").ok()?.parse().ok());
    *ALIVE == Some(number)
}
"""


def copy_tree():
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name)


def place(mutant):
    """Where the mutant's expression stands, without regard to how rustfmt broke its lines."""
    text = (ROOT / mutant["file"]).read_text()
    loose = lambda words: r"\s*".join(re.escape(part) for part in re.findall(r"\w+|[^\w\s]", words))
    start = 0
    if "near" in mutant:
        near = re.search(loose(mutant["near"]), text)
        if not near:
            sys.exit(f"{mutant['file']}: nothing like {mutant['near']!r}")
        start = near.end()
    found = list(re.finditer(r"(?<!\w)" + loose(mutant["find"]) if mutant["find"][0].isalnum() else loose(mutant["find"]), text[start:]))
    if not found or ("near" not in mutant and len(found) > 1):
        sys.exit(f"{mutant['file']}: {mutant['find']!r} stands there {len(found)} times; list.toml is out of date")
    return start + found[0].start(), start + found[0].end()


def put_to_sleep(mutants):
    """Writes every mutant into the copy; those of one expression become one chain."""
    by_file = {}
    for number, mutant in enumerate(mutants, 1):
        by_file.setdefault(mutant["file"], {}).setdefault(place(mutant), []).append((number, mutant["put"]))
    for name, places in by_file.items():
        text = (ROOT / name).read_text()
        spans = sorted(places)
        for one, other in zip(spans, spans[1:]):
            if one[1] > other[0]:
                sys.exit(f"{name}: two mutants overlap: {text[other[0]:one[1]]!r}")
        for start, end in reversed(spans):
            chain = "".join(f"if crate::mutant({number}) {{ {put} }} else " for number, put in places[start, end])
            text = f"{text[:start]}({{ {chain}{{ {text[start:end]} }} }}){text[end:]}"
        (TREE / name).write_text(text)
    lib = TREE / "server/src/lib.rs"
    lib.write_text(lib.read_text() + AWAKE)


def build(suites):
    wanted = [word for suite in suites for word in (["--lib"] if suite == "lib" else ["--test", suite])]
    command = ["cargo", "test", "--workspace", "--all-features", "--no-run", "--message-format=json", *wanted]
    # A target of its own: cargo names what it builds by places below the workspace, so in the tree's it would take the
    # copy for the tree itself, and later changes of the tree for none.
    flags = {"CARGO_TARGET_DIR": str(TREE.parent / "build"), "RUSTFLAGS": "", "CARGO_PROFILE_DEV_DEBUG": "line-tables-only"}
    built = subprocess.run(command, cwd=TREE, env={**os.environ, **flags}, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    if built.returncode:
        for message in messages:
            if message.get("reason") == "compiler-message" and message["message"]["level"] == "error":
                print(message["message"]["rendered"], file=sys.stderr)
        sys.exit("the mutants do not compile")
    found = {}
    for message in messages:
        if message.get("executable") and message["profile"]["test"]:
            name = message["target"]["name"]
            found["lib" if name == "saoma" and "lib" in message["target"]["kind"] else name] = message["executable"]
    return found


def passes(executables, tests, alive):
    """Whether all of these tests pass with this mutant alive, and which failed first."""
    environment = {**os.environ, "SAOMA_MUTANT": str(alive), "RUST_BACKTRACE": "0", "PROPTEST_CASES": "2000"}
    for test in tests:
        suite, words = test.split(" ", 1)
        command = [executables[suite]] + ([words] if words != "::" else [])
        try:
            ran = subprocess.run(
                command, cwd=TREE / "server", env=environment, capture_output=True, text=True, timeout=180
            )
        except subprocess.TimeoutExpired:
            return False, f"{test} (did not end)"
        if "running 0 tests" in ran.stdout and "running 1" not in ran.stdout:
            sys.exit(f"{test}: no test has such a name")
        if ran.returncode:
            failed = re.findall(r"^test (\S+) \.\.\. FAILED$", ran.stdout, re.MULTILINE)
            return False, failed[0] if failed else test
    return True, ""


def main():
    words = [word for word in sys.argv[1:] if word != "--lib"]
    rules_alone = "--lib" in sys.argv
    mutants = tomllib.loads((ROOT / "mutants/list.toml").read_text())["mutant"]
    if "--check" in sys.argv:
        for mutant in mutants:
            place(mutant)
        return
    copy_tree()
    put_to_sleep(mutants)
    wanted = [
        (number, mutant)
        for number, mutant in enumerate(mutants, 1)
        if not words or any(word in mutant["file"] + mutant["breaks"] for word in words)
        if not rules_alone or all(test.startswith("lib ") for test in mutant["tests"])
    ]
    suites = sorted({test.split(" ")[0] for _, mutant in wanted for test in mutant["tests"]})
    print(f"building {len(mutants)} mutants, all asleep", flush=True)
    executables = build(suites)
    # With none alive everything must pass, else a failure would prove nothing.
    for test in sorted({test for _, mutant in wanted for test in mutant["tests"]}):
        fine, failed = passes(executables, [test], 0)
        if not fine:
            sys.exit(f"{failed} fails with no mutant alive")
    survivors, rows = [], []
    for number, mutant in wanted:
        alive, caught_by = passes(executables, mutant["tests"], number)
        print(f"{number:3} {'SURVIVES' if alive else 'caught  '} {mutant['file']}: {mutant['breaks']}  [{caught_by}]", flush=True)
        if alive:
            survivors.append(mutant)
        name = mutant["file"].removeprefix("server/src/").removesuffix(".rs")
        rows.append(f"| {number} | {name} | {mutant['breaks']} | {'**survives**' if alive else f'`{caught_by}`'} |")
    print(f"{len(rows) - len(survivors)} caught, {len(survivors)} survived")
    if len(wanted) == len(mutants):
        write(rows, survivors)
    sys.exit(1 if survivors else 0)


def write(rows, survivors):
    day = time.strftime("%Y-%m-%d")
    caught = len(rows) - len(survivors)
    page = f"""# Guards broken on purpose

`./dev mutants` breaks each guard of [mutants/list.toml](../mutants/list.toml) in one way, one at a time, and holds that a test fails.
It writes this page.

On {day}: {len(rows)} mutants, {caught} caught, {len(survivors)} survived.

| | room | what was broken | the first test that failed |
|---|---|---|---|
"""
    (ROOT / "docs/mutants.md").write_text(page + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
