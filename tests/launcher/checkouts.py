"""A small checkout with stand-ins for Dalmada's own processes, for trying the launcher alone.

The stand-ins speak the real parts' command lines and nothing more; the launcher, the servers,
Celery and Flower in it are real.
"""

import shutil
import sys
from pathlib import Path

from tests.launcher.probes import CHECKOUT

_APP = """
import os
from celery import Celery
app = Celery("stand-in", broker=os.environ["DALMADA_REDIS_URL"])
app.conf.task_default_queue = "billing.scan"
if os.environ.get("BREAK_WORKERS") == "{name}":
    raise SystemExit("planted: the {name} does not start")
"""
_MIGRATE = """
import os, sys, psycopg
with psycopg.connect(os.environ["DALMADA_DATABASE_URL"]) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS migrated (number int)")
    connection.execute("INSERT INTO migrated VALUES (1)")
assert sys.argv[1:] == ["upgrade"]
"""
_SANDBOX = """
import http.server, sys
assert sys.argv[1:5] == ["--host", "127.0.0.1", "--port", "0"], sys.argv
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print(f"sandbox: http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""
_RECEIVER = """
import http.server, sys
assert sys.argv[1:] == ["--host", "127.0.0.1", "--port", "0"], sys.argv
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print(f"receiver: http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""
_DEMO = """
import json, os, signal, sys, time
print(json.dumps({k: v for k, v in os.environ.items() if k.startswith("DALMADA_")}), flush=True)
if "KILL_NAME" in os.environ:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = open(f"/proc/{pid}/cmdline").read()
        except OSError:
            continue
        if os.environ["KILL_NAME"] in command and os.environ["DALMADA_STATE_DIR"] in command:
            os.kill(int(pid), signal.SIGKILL)
    time.sleep(600)
print("demo: the last line", flush=True)
sys.exit(int(os.environ.get("DEMO_STATUS", "0")))
"""
_FILES = {
    "pyproject.toml": "[project]\nname = 'dalmada'\nversion = '0'\n",
    "requirements-dev.lock": "",
    "requirements.lock": "",
    "shared/__init__.py": "",
    "shared/db/__init__.py": "",
    "shared/db/migrate.py": _MIGRATE,
    "worker/__init__.py": "",
    "worker/app.py": _APP.format(name="worker"),
    "worker/receiver.py": _RECEIVER,
    "scheduler/__init__.py": "",
    "scheduler/app.py": _APP.format(name="scheduler"),
    "deploy/sandbox/__init__.py": "",
    "deploy/sandbox/__main__.py": _SANDBOX,
    "deploy/demo/__init__.py": "",
    "deploy/demo/__main__.py": _DEMO,
    "deploy/flower/flowerconfig.py": "persistent = False\n",
}


def make_checkout(root: Path) -> Path:
    """Fill an empty folder with the launcher and the stand-ins; the launcher's path."""
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copy(CHECKOUT / "deploy" / "__init__.py", root / "deploy" / "__init__.py")
    shutil.copy(CHECKOUT / "deploy" / "local.py", root / "deploy" / "local.py")
    shutil.copytree(CHECKOUT / "deploy" / "launcher", root / "deploy" / "launcher")
    return root / "deploy" / "local.py"


def borrow_environment(root: Path) -> None:
    """Let the checkout use the environment that runs the tests, to be called with --no-sync."""
    (root / ".venv").symlink_to(sys.prefix)
