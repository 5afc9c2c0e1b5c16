"""How Dalmada is started: on a bare machine, in containers, and against a sandbox."""
