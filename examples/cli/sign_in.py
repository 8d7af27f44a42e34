#!/usr/bin/env python3
"""Signs a terminal in with WeChat, by the device grant (RFC 8628). Nothing but Python 3.9 or newer.

    python3 sign_in.py ISSUER CLIENT_ID
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def call(url, form=None, token=None):
    """The status and the JSON of an answer; an error of OAuth's is an answer, too."""
    body = urllib.parse.urlencode(form).encode() if form else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait(provider, client_id, device, sleep=time.sleep):
    """Asks until somebody has decided on a phone; the tokens, or why there are none."""
    form = {"grant_type": GRANT, "device_code": device["device_code"], "client_id": client_id}
    interval = device.get("interval", 5)
    while True:
        sleep(interval)
        try:
            status, answer = call(provider["token_endpoint"], form)
        except OSError:
            # Nobody answers: ask more seldom (RFC 8628 section 3.5).
            interval *= 2
            continue
        if status == 200:
            return answer
        error = answer.get("error")
        if error == "slow_down":
            interval += 5
        elif error in ("temporarily_unavailable", "too_many_requests"):
            interval *= 2
        elif error != "authorization_pending":
            return {"error": error, "why": answer.get("error_description", "")}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    issuer, client_id = sys.argv[1].rstrip("/"), sys.argv[2]
    _, provider = call(f"{issuer}/.well-known/openid-configuration")
    form = {"client_id": client_id, "scope": "openid profile"}
    status, device = call(provider["device_authorization_endpoint"], form)
    if status != 200:
        sys.exit(f"{device.get('error')}: {device.get('error_description')}")
    print("Open the sign-in mini program in WeChat and type these digits:\n")
    print(f"    {device['user_code']}\n")
    print(f"More at {device['verification_uri']}. Waiting...", flush=True)
    tokens = wait(provider, client_id, device)
    if "error" in tokens:
        sys.exit(f"Not signed in: {tokens['error']} ({tokens['why']})")
    _, person = call(provider["userinfo_endpoint"], token=tokens["access_token"])
    # Here a real program would keep the tokens where only its user can read them.
    print(f"Signed in as {person.get('name', 'somebody')} ({person['sub']}).")


if __name__ == "__main__":
    main()
