"""See schema.sh."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
from running import saoma  # noqa: E402

LIMITS = "off = true"


def post(url, body, origin=None):
    headers = {"content-type": "application/json", **({"origin": origin} if origin else {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def main():
    schemathesis, examples = sys.argv[1:3]
    with saoma(LIMITS) as (url, wechat, server, log):
        # Somebody's mini program is open, so that its own pages are met behind their door.
        js_code = post(f"{wechat}/pretend/js_code", {"person": "ann"})["js_code"]
        token = post(f"{url}/api/phone/session", {"js_code": js_code})["token"]
        ran = subprocess.run([
            schemathesis, "run", f"{url}/openapi.json", "--url", url, "--checks", "not_a_server_error",
            "--max-examples", examples, "--phases", "examples,coverage,fuzzing", "--mode", "all", "--seed", "7",
            "--request-timeout", "30", "--workers", "1", "--suppress-health-check", "all", "--no-color",
            "-H", f"Authorization: Bearer {token}", "-H", "Origin: https://blog.example.com",
        ], cwd=Path(schemathesis).parent)
        if server.poll() is not None:
            sys.exit("the server is gone")
        log.seek(0)
        panics = [line for line in log if "panic" in line]
        if panics:
            sys.exit("the server panicked: " + "".join(panics))
    sys.exit(ran.returncode)


if __name__ == "__main__":
    main()
