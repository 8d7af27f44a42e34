"""python3 test.py SAOMA NGINX CADDY: sign-ins through real proxies, with the files that stand here."""

import http.server
import json
import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from played import Browser, World, call, free_port  # noqa: E402

HERE = Path(__file__).parent
FORGED = {"Remote-User": "root", "Remote-Groups": "owner", "Remote_User": "root", "Remote_Groups": "owner", "remote-name": "root"}


class Application(http.server.BaseHTTPRequestHandler):
    """Knows no OpenID Connect: it says what it was told, as a CGI program would read it."""

    def answer(self):
        told = {}
        for name, value in self.headers.items():
            told.setdefault(name.lower().replace("_", "-"), []).append(value.encode("latin-1").decode())
        body = json.dumps({"path": self.path, "method": self.command, "told": told}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


def nginx(program, world, port, app):
    text = (HERE / "nginx.conf").read_text()
    text = replaced(text, {
        "listen 443 ssl;": f"listen 127.0.0.1:{port};",
        "    ssl_certificate /etc/ssl/wiki.example.com.pem;\n": "",
        "    ssl_certificate_key /etc/ssl/wiki.example.com.key;\n": "",
        "wiki.example.com": "wiki.localhost",
        "127.0.0.1:8080": f"127.0.0.1:{world.port}",
        "127.0.0.1:3000": f"127.0.0.1:{app}",
    })
    folder = world.folder
    temp = "".join(f"{name}_temp_path {folder}/{name};\n" for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    head = f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr warn;\nevents {{}}\n"
    config = os.path.join(folder, "nginx.conf")
    Path(config).write_text(f"{head}http {{\naccess_log off;\n{temp}{text}}}\n")
    world.run([program, "-p", folder, "-c", config], port, host=f"wiki.localhost:{port}")


def caddy(program, world, port, app):
    text = replaced((HERE / "Caddyfile").read_text(), {
        "wiki.example.com {": f"http://wiki.localhost:{port} {{\n\tbind 127.0.0.1",
        "127.0.0.1:8080": f"127.0.0.1:{world.port}",
        "127.0.0.1:3000": f"127.0.0.1:{app}",
    })
    config = os.path.join(world.folder, "Caddyfile")
    Path(config).write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}")
    world.run([program, "run", "--adapter", "caddyfile", "--config", config], port, host=f"wiki.localhost:{port}")


def replaced(text, words):
    for old, new in words.items():
        assert old in text, f"{old} stands there no more"
        text = text.replace(old, new)
    return text


def story(name, world, port):
    host = f"wiki.localhost:{port}"
    origin, ports = f"http://{host}", {host: port}
    browser = Browser(world)

    def go(method, path, headers=None):
        return browser.go(method, f"{origin}{path}", ports, headers)

    def told(method="GET", headers=None):
        status, _, text = go(method, "/page?a=1&b=2", headers)
        assert status == 200, f"{status} {text}"
        said = json.loads(text)
        assert (said["method"], said["path"]) == (method, "/page?a=1&b=2")
        return [said["told"].get(f"remote-{what}") for what in ["user", "name", "email", "groups"]]

    # Nobody is signed in: a form and a script are refused, and none of it reaches the application.
    for method, headers in [("POST", {}), ("DELETE", FORGED), ("GET", {"Sec-Fetch-Mode": "cors"})]:
        status, location, _ = go(method, "/page", headers)
        assert (status, location) == (401, ""), f"{name}: {method} {headers} {status} {location}"
    # What a client says of host, address and method is not believed.
    lies = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Uri": "//evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Method": "GET"}
    status, location, _ = go("POST", "/page", lies)
    assert (status, location) == (401, ""), f"{name}: {status} {location}"
    status, location, _ = go("GET", "/page?a=1&b=2", {**lies, **FORGED})
    assert status in (302, 303), f"{name}: {status}"
    assert location == f"{origin}/.saoma/start?to=%2Fpage%3Fa%3D1%26b%3D2", f"{name}: {location}"

    # A browser goes there, signs in by scan, and comes back to what it had asked for.
    def begins():
        status, location, _ = go("GET", "/page?a=1&b=2")
        status, location, _ = browser.go("GET", location, ports)
        assert status == 303, f"{name}: {status}"
        status, location, page = browser.go("GET", location, ports)
        assert status == 200, f"{name}: {status} {location}"
        return page

    back = browser.signs_in(begins(), "ann", approve=False)
    status, _, text = browser.go("GET", back, ports)
    assert status == 403 and ".saoma/start" in text, f"{name}: {status} {text}"
    back = browser.signs_in(begins(), "ann", scopes=["profile", "email"])
    status, location, _ = browser.go("GET", back, ports)
    assert (status, location) == (303, f"{origin}/page?a=1&b=2"), f"{name}: {status} {location}"

    # The application is told by saoma, and by nobody else.
    honest = told()
    user, display, email, groups = honest
    assert len(user) == len(display) == len(email) == 1 and len(user[0]) == 22, honest
    assert display[0].startswith("guest ") and email[0].endswith("@users.example.com"), honest
    assert groups in (None, [""]), honest
    for method in ["GET", "POST", "DELETE"]:
        assert told(method, FORGED) == honest, f"{name}: {told(method, FORGED)}"

    # A person who ticked nothing: what is left empty cannot be filled in from outside.
    other = Browser(world)
    status, location, _ = other.go("GET", f"{origin}/", ports)
    _, location, _ = other.go("GET", location, ports)
    _, _, page = other.go("GET", location, ports)
    other.go("GET", other.signs_in(page, "bob"), ports)
    status, _, text = other.go("GET", f"{origin}/", ports, FORGED)
    said = json.loads(text)["told"]
    assert len(said["remote-user"][0]) == 22 and said["remote-user"][0] != user[0], said
    for what in ["name", "email", "groups"]:
        assert said.get(f"remote-{what}") in (None, [""]), f"{name}: {said}"

    # And out again: a picture asks in vain, the button of the page that asks does not.
    status, _, text = go("GET", "/.saoma/sign-out", {"Sec-Fetch-Dest": "image"})
    assert status == 200 and 'action="/.saoma/sign-out"' in text, f"{name}: {status} {text}"
    assert go("POST", "/page")[0] == 200
    status, location, _ = go("POST", "/.saoma/sign-out", {"Origin": origin})
    assert (status, location) == (303, f"{world.issuer}/oauth2/logout?client_id=wiki"), f"{name}: {location}"
    assert go("POST", "/page")[0] == 401
    # The door for proxies themselves stands on no host of an application.
    status, _, text = go("GET", "/forward-auth")
    assert status != 200, f"{name}: {text}"
    print(f"{name}: signed in, told, and out again")


def main():
    saoma, nginx_program, caddy_program = sys.argv[1:]
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    ports = free_port(), free_port()
    origins = json.dumps([f"http://wiki.localhost:{port}" for port in ports])
    sites = f'[[site]]\nid = "wiki"\nname = "Wiki"\nforward_auth = {origins}\nemail = "{{username}}@users.example.com"\n'
    world = World(saoma, sites, 'trusted_proxies = ["127.0.0.1"]')
    nginx(nginx_program, world, ports[0], app.server_port)
    story("nginx", world, ports[0])
    caddy(caddy_program, world, ports[1], app.server_port)
    story("Caddy", world, ports[1])
    world.stop()


if __name__ == "__main__":
    main()
