"""Files that only the type checker reads; ``tests/unit/billing/test_typing.py`` runs it on them."""
