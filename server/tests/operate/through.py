"""A whole sign-in through a proxy: python3 through.py PUBLIC WECHAT, with SSL_CERT_FILE naming whom to trust.

Nothing but the standard library. saoma must run with wechat.pool = 0, so that the last code made is the page's.
"""

import http.cookiejar, json, re, ssl, sys, urllib.request

public, wechat = sys.argv[1:3]
cookies = http.cookiejar.CookieJar()
browser = urllib.request.build_opener(
    urllib.request.HTTPSHandler(context=ssl.create_default_context()),
    urllib.request.HTTPCookieProcessor(cookies))
phone = urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()))


def call(who, url, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    with who.open(request, timeout=40) as answer:
        return answer.read()


def check(holds, why):
    if not holds:
        sys.exit(f"FAILED: {why}")


page = call(browser, public + "/login").decode()
ticket = re.search(r'ticket="([^"]+)"', page).group(1)
check(len(call(browser, f"{public}/api/tickets/{ticket}/code")) > 200, "no picture")
made = json.loads(call(phone, wechat + "/pretend/calls"))["calls"]
scene = [c["body"]["scene"] for c in made if c["path"] == "/wxa/getwxacodeunlimit"][-1]
js_code = json.loads(call(phone, wechat + "/pretend/js_code", {"person": "ann"}))["js_code"]
asked = json.loads(call(phone, f"{public}/api/phone/tickets/{scene}/scan",
                        {"js_code": js_code, "entry": 1047, "protocol": 1}))
state = json.loads(call(browser, f"{public}/api/tickets/{ticket}"))
check(state["state"] == "scanned", f"the page sees {state}")
approval = {"match": state["match"]} if asked["ask"] == "match" else {}
call(phone, f"{public}/api/phone/tickets/{scene}/approve", approval, Authorization="Bearer " + asked["token"])
claimed = json.loads(call(browser, f"{public}/api/tickets/{ticket}/claim", {}, Origin=public))
check(claimed["redirect_to"].startswith(public), claimed)
check(b'action="/sign-out"' in call(browser, public + "/"), "nobody is signed in")
