#!/usr/bin/env python3
"""slowhttptest (Debian) against a running saoma: while it attacks, somebody else opens sign-in pages.

Prints a line for each kind of attack; fails if the service was not available, or if others were kept waiting.
"""

import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

sys.dont_write_bytecode = True
from running import saoma  # noqa: E402

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
PAGE = (
    "/oauth2/authorize?client_id=blog&redirect_uri=https%3A%2F%2Fblog.example.com%2Fcallback&response_type=code"
    f"&scope=openid&state=s&code_challenge={CHALLENGE}&code_challenge_method=S256"
)
ATTACKS = {
    "slow heads (slowloris)": ["-H", "-i", "5"],
    "slow bodies (R-U-Dead-Yet)": ["-B", "-i", "5", "-s", "60000", "-t", "POST"],
    "slow reading": ["-X", "-w", "1", "-y", "8", "-n", "5", "-z", "4", "-k", "3"],
}


def others(url, stop, took):
    """Somebody who opens one page after the other."""
    while not stop.is_set():
        begun = time.monotonic()
        try:
            with urllib.request.urlopen(url + PAGE, timeout=30) as answer:
                answer.read()
            took.append(time.monotonic() - begun)
        except OSError as error:
            took.append(float("inf"))
            print(f"somebody else got no page: {error}", file=sys.stderr)
        time.sleep(0.1)


def main():
    connections, seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000, 30
    failed = False
    # One machine plays all the attackers, and has one address: its own limits are lifted, those of time are in force.
    limits = "tickets_per_address = 100000\nrequests_per_address = 1000000\nsockets_per_address = 100000"
    with saoma(limits, "release" if "--release" in sys.argv else "debug") as (url, _, server, log):
        print(f"{connections} connections, {seconds} s each")
        print("| attack | service available | pages opened by others | median | 99th percentile | longest |")
        print("|---|---|---|---|---|---|")
        for name, flags in {"none": None, **ATTACKS}.items():
            stop, took = threading.Event(), []
            visitor = threading.Thread(target=others, args=(url, stop, took))
            visitor.start()
            available = "–"
            if flags is None:
                time.sleep(10)
            else:
                target = url + ("/oauth2/token" if "-B" in flags else "/assets/wechat-login.js" if "-X" in flags else "/")
                command = ["slowhttptest", "-c", str(connections), "-r", "200", "-l", str(seconds), "-p", "3", *flags, "-u", target]
                ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
                said = re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout)
                seen = re.findall(r"service available:\s+(YES|NO)", said)
                available = "NO" if "NO" in seen or not seen else "YES"
            stop.set()
            visitor.join()
            took.sort()
            ms = lambda seconds: f"{seconds * 1000:.0f} ms"
            high = took[min(len(took) - 1, int(len(took) * 0.99))]
            print(f"| {name} | {available} | {len(took)} | {ms(statistics.median(took))} | {ms(high)} | {ms(took[-1])} |", flush=True)
            failed |= available == "NO" or took[-1] > 5
        if server.poll() is not None:
            sys.exit("the server is gone")
        log.seek(0)
        if "panic" in log.read():
            sys.exit("the server panicked")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
