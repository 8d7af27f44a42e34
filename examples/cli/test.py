"""python3 test.py SAOMA: the terminal program as it stands here, with a saoma, a pretend WeChat and a phone."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from played import World  # noqa: E402


def begins(world):
    program = [sys.executable, str(Path(__file__).parent / "sign_in.py"), world.issuer, "cli"]
    terminal = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in terminal.stdout:
        digits = line.strip()
        if len(digits) == 9 and digits.replace("-", "").isdigit():
            return terminal, digits
    raise AssertionError(terminal.stderr.read())


def main():
    # Register it with the very command of the README.
    world = World(sys.argv[1], "")
    register = [sys.argv[1], "--config", world.config, "site", "add", "cli", "--name", "My terminal", "--public", "--device"]
    subprocess.run(register, check=True, stdout=subprocess.DEVNULL)
    terminal = None
    for _ in range(50):
        try:
            terminal, digits = begins(world)
            break
        except AssertionError as unknown:
            # A running server sees a new site within two seconds.
            assert "invalid_client" in str(unknown), unknown
    assert terminal, "the site was never seen"

    shown = world.types("ann", digits)
    assert shown["kind"] == "device" and shown["site"]["name"] == "My terminal", shown
    world.decides(shown, "approve", scopes=["profile"])
    printed, wrong = terminal.communicate(timeout=60)
    assert terminal.returncode == 0 and "Signed in as guest " in printed, printed + wrong

    terminal, digits = begins(world)
    world.decides(world.types("ann", digits), "deny")
    printed, wrong = terminal.communicate(timeout=60)
    assert terminal.returncode != 0 and "access_denied" in wrong, printed + wrong
    print("cli: signed in by digits, and told of a no")
    world.stop()


if __name__ == "__main__":
    main()
