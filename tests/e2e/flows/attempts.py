"""Does what DASKFLOW_PARAMETERS' `attempts` say: a word for each attempt, the last one for all that follow."""

import json
import os
import time

attempt = int(os.environ["DASKFLOW_ATTEMPT"])
words = json.loads(os.environ["DASKFLOW_PARAMETERS"])["attempts"]
word = words[min(attempt, len(words)) - 1]
print("attempt", attempt, "is to", word, flush=True)
if word == "fail":
    raise RuntimeError("attempt %d was told to fail" % attempt)
if word == "sleep":
    time.sleep(600)
