"""Keep Celery's command line from loading what no worker and no beat uses; Python imports this.

The interactive shell and Flower's command take a third of a process's start, and tests start
hundreds of them. Whoever is called to be Flower loads it all the same.
"""

import sys
from types import ModuleType

if "flower" not in sys.orig_argv:
    # Celery passes over a command of others that cannot be loaded.
    sys.modules["flower.command"] = None  # type: ignore[assignment]
    shell = ModuleType("click_repl")
    shell.register_repl = lambda group: group  # type: ignore[attr-defined]
    sys.modules["click_repl"] = shell
