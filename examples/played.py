"""A saoma and a pretend WeChat that run for the length of a test, and a phone to hold. Nothing but Python."""

import atexit
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse

APPID = "wx0123456789abcdef"


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def call(port, method, path, body=None, headers=None, host=None):
    """One call to this machine: status, headers as (name, value), and body. Follows nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Host": host or f"127.0.0.1:{port}", **(headers or {})}
    if isinstance(body, (dict, list)):
        body, headers["Content-Type"] = json.dumps(body), "application/json"
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.getheaders(), text


class World:
    """`sites` is the TOML of the sites that saoma shall know."""

    def __init__(self, saoma, sites, settings=""):
        # Programs are started in a folder of their own.
        saoma = os.path.abspath(saoma)
        self.folder = tempfile.mkdtemp(prefix="saoma-example-")
        self.processes = []
        atexit.register(self.stop)
        self.port, admin, self.wechat = free_port(), free_port(), free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.config = os.path.join(self.folder, "saoma.toml")
        with open(self.config, "w") as file:
            file.write(f"""
public_url = "{self.issuer}"
listen = "127.0.0.1:{self.port}"
admin_listen = "127.0.0.1:{admin}"
store = "sqlite:{self.folder}/saoma.db"
{settings}
[wechat]
appid = "{APPID}"
secret = "pretend"
base_url = "http://127.0.0.1:{self.wechat}"
pool = 4
{sites}""")
        pretend = [saoma, "pretend", "--listen", f"127.0.0.1:{self.wechat}", "--appid", APPID]
        self.run(pretend, self.wechat, "/pretend/calls")
        self.run([saoma, "--config", self.config, "--log", "warn", "serve"], self.port, "/readyz")

    def run(self, command, port, path="/", host=None):
        """Starts a program, and waits until it answers."""
        process = subprocess.Popen(command, cwd=self.folder, env={**os.environ, "HOME": self.folder})
        self.processes.append(process)
        for _ in range(1200):
            try:
                if call(port, "GET", path, host=host)[0] < 500:
                    return process
            except OSError:
                pass
            assert process.poll() is None, f"{command} ended"
            time.sleep(0.05)
        raise AssertionError(f"{command} does not answer")

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        self.processes = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def phone(self, path, body, token=None):
        """One call of the mini program."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, _, text = call(self.port, "POST", f"/api/phone/{path}", body, headers)
        assert status == 200, f"{path}: {status} {text}"
        return json.loads(text)

    def types(self, person, digits):
        """The person opens the mini program and types digits; what their phone shows."""
        status, _, text = call(self.wechat, "POST", "/pretend/js_code", {"person": person})
        assert status == 200, text
        digits = "".join(filter(str.isdigit, digits))
        return self.phone(f"codes/{digits}/scan", {"js_code": json.loads(text)["js_code"], "protocol": 1})

    def decides(self, shown, word, **more):
        return self.phone(f"tickets/{shown['scene']}/{word}", more, shown["token"])


class Browser:
    """A browser without a screen: cookies by host, and what the hosted page's script would do."""

    def __init__(self, world):
        self.world = world
        self.jars = {}

    def go(self, method, url, ports, headers=None, body=None):
        """One request; `ports` says where hosts are."""
        parts = urllib.parse.urlsplit(url)
        host, path = parts.netloc, parts.path + (f"?{parts.query}" if parts.query else "")
        jar = self.jars.setdefault(host, {})
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())} if jar else {}
        port = ports.get(host, self.world.port)
        status, told, text = call(port, method, path or "/", body, {**cookies, **(headers or {})}, host)
        for name, value in told:
            if name.lower() == "set-cookie":
                cookie, *attributes = value.split("; ")
                name, _, value = cookie.partition("=")
                jar[name] = value
                if "Max-Age=0" in attributes:
                    del jar[name]
        location = next((value for name, value in told if name.lower() == "location"), "")
        return status, location, text

    def signs_in(self, page, person, approve=True, **more):
        """The page with the code shows digits, the person types them; where the browser goes next."""
        ticket = page.split('ticket="')[1].split('"')[0]
        own = {"Origin": self.world.issuer, "Content-Type": "application/json"}
        url = f"{self.world.issuer}/api/tickets/{ticket}"
        status, _, text = self.go("POST", f"{url}/digits", {}, own, "{}")
        assert status == 200, text
        shown = self.world.types(person, json.loads(text)["digits"])
        if approve and shown["ask"] == "match":
            # Browser and phone reach saoma without a proxy that says from where: the person types the page's number as well.
            more["match"] = json.loads(self.go("GET", url, {})[2])["match"]
        self.world.decides(shown, "approve" if approve else "deny", **more)
        status, _, text = self.go("POST", f"{url}/claim", {}, own, "{}")
        assert status == 200, text
        return json.loads(text)["redirect_to"]
