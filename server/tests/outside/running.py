"""A running `saoma serve` with a pretend WeChat behind it, for tools that attack from outside."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
APPID, SECRET = "wx1234567890abcdef", "fedcba0987654321fedcba0987654321"
SITES = """
[[site]]
id = "blog"
name = "My blog"
redirect_uris = ["https://blog.example.com/callback"]
origins = ["https://blog.example.com"]

[[site]]
id = "shop"
name = "The shop"
redirect_uris = ["https://shop.example.com/callback"]
secret = "a secret of the shop"
"""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def answers(url, server, patience=60):
    """Waits until the server answers there."""
    until = time.monotonic() + patience
    while time.monotonic() < until and server.poll() is None:
        try:
            return urllib.request.urlopen(url, timeout=5).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nobody answers at {url}; what the server said stands above")


@contextlib.contextmanager
def saoma(limits="", profile="debug"):
    """Starts both, yields saoma's URL, WeChat's, the process and its log, and stops both. SAOMA names one that is built already."""
    binary = os.environ.get("SAOMA")
    if not binary:
        build = ["cargo", "build", "--quiet", "-p", "saoma"] + (["--release"] if profile == "release" else [])
        subprocess.run(build, cwd=ROOT, check=True)
        binary = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / profile / "saoma"
    with tempfile.TemporaryDirectory() as folder:
        port, admin, wechat = free_port(), free_port(), free_port()
        url, upstream = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{wechat}"
        settings = Path(folder) / "saoma.toml"
        settings.write_text(
            f'public_url = "{url}"\nlisten = "127.0.0.1:{port}"\nadmin_listen = "127.0.0.1:{admin}"\n'
            f'store = "sqlite:{folder}/saoma.db"\n[wechat]\nappid = "{APPID}"\nsecret = "{SECRET}"\n'
            f'base_url = "{upstream}"\n[limits]\n{limits}\n{SITES}'
        )
        log = open(Path(folder) / "log", "w+")
        pretend = subprocess.Popen(
            [binary, "pretend", "--listen", f"127.0.0.1:{wechat}", "--appid", APPID, "--secret", SECRET],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        server = subprocess.Popen([binary, "serve", "--config", settings], stdout=log, stderr=subprocess.STDOUT)
        try:
            answers(f"{url}/healthz", server)
            yield url, upstream, server, log
        finally:
            if server.poll():
                log.seek(0)
                print(log.read())
            for process in (server, pretend):
                process.terminate()
                process.wait(timeout=30)
