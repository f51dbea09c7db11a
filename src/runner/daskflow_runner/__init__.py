"""The runner. `bootstrap.py` beside this folder starts it; `start.py` says what it does."""

import sys

LOADED_BEFORE = frozenset(sys.modules)  # by Python itself, or before any script: whatever comes later, we have imported
