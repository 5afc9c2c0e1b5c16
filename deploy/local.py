#!/usr/bin/env python3
"""Runs Dalmada on this machine: `python3 deploy/local.py --help`.

Needs Python 3.11 or newer and nothing else; it makes the environment and starts the servers itself.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - said before anything newer is read
    sys.exit(
        "dalmada: Python 3.11 or newer is needed, but {} is {}.{}".format(
            sys.executable, *sys.version_info[:2]
        )
    )

# In place of this folder, whose names would hide installed packages of the same names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from deploy.launcher.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
