"""The runner. `bootstrap.py` beside this folder starts it; `start.py` says what it does."""
