"""Says which clusters the gateway has ever made and where they stand, a line for each change."""

import base64
import json
import os
import time
import urllib.request

ALL = "http://127.0.0.1:8000/api/v1/clusters/?status=pending,running,stopping,stopped,failed"
LOGIN = base64.b64encode(("flows:" + os.environ["GATEWAY_PASSWORD"]).encode()).decode()


def states():
    request = urllib.request.Request(ALL, headers={"Authorization": "Basic " + LOGIN})
    with urllib.request.urlopen(request, timeout=10) as answer:
        clusters = json.load(answer)
    return "".join(" %s=%s" % (name, clusters[name]["status"]) for name in sorted(clusters))


said = None
while True:
    try:
        line = "clusters:" + states()
    except (OSError, ValueError) as error:
        line = "no answer: %s" % error
    if line != said:
        print(line, flush=True)
        said = line
    time.sleep(1)
