#!/usr/bin/env python3
"""A CycloneDX 1.5 bill of materials of what the binary is built of, out of Cargo.lock and `cargo metadata`: `./dev sbom`.

Only what a release links or runs at build time: crates that tests alone need are left out, as are those of other systems.
"""

import json
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def main():
    host = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = next(line.split(": ")[1] for line in host.splitlines() if line.startswith("host: "))
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", host]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    sums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock}
    root = next(id for id, package in packages.items() if package["name"] == "saoma")

    def shipped(id):
        """What this one needs besides its own tests."""
        deps = nodes[id]["deps"]
        return sorted(dep["pkg"] for dep in deps if any(kind["kind"] != "dev" for kind in dep["dep_kinds"]))

    found, left = {root}, [root]
    while left:
        for id in shipped(left.pop()):
            if id not in found:
                found.add(id)
                left.append(id)

    def url(id):
        return f"pkg:cargo/{packages[id]['name']}@{packages[id]['version']}"

    def component(id):
        package = packages[id]
        entry = {
            "type": "application" if id == root else "library",
            "bom-ref": url(id),
            "name": package["name"],
            "version": package["version"],
            "purl": url(id),
        }
        if package["license"]:
            entry["licenses"] = [{"expression": " ".join(package["license"].replace("/", " OR ").split())}]
        checksum = sums.get((package["name"], package["version"]))
        if checksum:
            entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return entry

    print(json.dumps({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root)},
        "components": [component(id) for id in sorted(found - {root})],
        "dependencies": [{"ref": url(id), "dependsOn": sorted({url(dep) for dep in shipped(id)})} for id in sorted(found)],
    }, indent=1))


if __name__ == "__main__":
    main()
