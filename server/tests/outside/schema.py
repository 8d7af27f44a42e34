"""See schema.sh."""

import subprocess
import sys

from running import saoma

LIMITS = "off = true"


def main():
    schemathesis, examples = sys.argv[1:3]
    with saoma(LIMITS) as (url, server, log):
        ran = subprocess.run([
            schemathesis, "run", f"{url}/openapi.json", "--url", url, "--checks", "not_a_server_error",
            "--max-examples", examples, "--phases", "examples,coverage,fuzzing", "--mode", "all", "--seed", "7",
            "--request-timeout", "30", "--workers", "2", "--suppress-health-check", "all", "--no-color",
        ])
        if server.poll() is not None:
            sys.exit("the server is gone")
        log.seek(0)
        panics = [line for line in log if "panic" in line]
        if panics:
            sys.exit("the server panicked: " + "".join(panics))
    sys.exit(ran.returncode)


if __name__ == "__main__":
    main()
