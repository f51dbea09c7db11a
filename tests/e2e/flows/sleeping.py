"""Sleeps: for DASKFLOW_PARAMETERS' `seconds`, else for ten minutes."""

import json
import os
import time

seconds = json.loads(os.environ.get("DASKFLOW_PARAMETERS") or "{}").get("seconds", 600)
print("sleeping", seconds, flush=True)
time.sleep(seconds)
print("slept", flush=True)
