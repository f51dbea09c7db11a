"""No gateway: it refuses everything, and repeats what it was shown, as a program does whose errors say too much."""

import base64
import http.server
import json


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        shown = self.headers.get("Authorization", "")
        decoded = base64.b64decode(shown.split(" ")[-1]).decode("utf-8", "replace")
        words = "not for you: %s, that is %s, by %s" % (shown, decoded, shown.split(" ")[-1])
        body = json.dumps({"error": words}).encode()
        self.send_response(422)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", 8002), Echo).serve_forever()
