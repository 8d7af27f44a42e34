"""A whole sign-in from outside: python3 through.py PUBLIC WECHAT [LINK], with SSL_CERT_FILE naming whom to trust.

With LINK, the one that a start without an owner prints, the console is opened by it too. Nothing but the standard library.
saoma must run with wechat.pool = 0, so that the last code made is the page's.
"""

import http.cookiejar, json, re, ssl, sys, urllib.parse, urllib.request

public, wechat, *link = sys.argv[1:]


def opener(*more):
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()), *more)


phone = opener()


def call(who, url, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    with who.open(request, timeout=40) as answer:
        return answer.read()


def check(holds, why):
    if not holds:
        sys.exit(f"FAILED: {why}")


def signs_in(browser, at, path):
    """The page at `path` shows a code, ann's phone scans it and approves, and the page claims; where it goes then."""
    page = call(browser, at + path).decode()
    ticket = re.search(r'ticket="([^"]+)"', page).group(1)
    check(len(call(browser, f"{at}/api/tickets/{ticket}/code")) > 200, "no picture")
    made = json.loads(call(phone, wechat + "/pretend/calls"))["calls"]
    scene = [c["body"]["scene"] for c in made if c["path"] == "/wxa/getwxacodeunlimit"][-1]
    js_code = json.loads(call(phone, wechat + "/pretend/js_code", {"person": "ann"}))["js_code"]
    asked = json.loads(call(phone, f"{public}/api/phone/tickets/{scene}/scan",
                            {"js_code": js_code, "entry": 1047, "protocol": 1}))
    state = json.loads(call(browser, f"{at}/api/tickets/{ticket}"))
    check(state["state"] == "scanned", f"the page sees {state}")
    approval = {"match": state["match"]} if asked["ask"] == "match" else {}
    call(phone, f"{public}/api/phone/tickets/{scene}/approve", approval, Authorization="Bearer " + asked["token"])
    return json.loads(call(browser, f"{at}/api/tickets/{ticket}/claim", {}, Origin=at))["redirect_to"]


browser = opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
goes = signs_in(browser, public, "/login")
check(goes.startswith(public), goes)
check(b'action="/sign-out"' in call(browser, public + "/"), "nobody is signed in")

for address in link:
    console, secret = address.split("/console/link#")
    browser = opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    form = urllib.parse.urlencode({"link": secret}).encode()
    with browser.open(urllib.request.Request(console + "/console/link", form, {"Origin": console}), timeout=40) as page:
        check(page.url == console + "/console/sign-in", f"the link leads to {page.url}")
    check(signs_in(browser, console, "/console/sign-in") == "/console", "the console stays shut")
    check(b'<nav class="ranges"' in call(browser, console + "/console"), "no overview")
