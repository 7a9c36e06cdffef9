"""A server that takes whatever comes and remembers it."""

import gzip
import http.server
import threading


class Recorder:
    """Listens on loopback; answers every request with `{}`, and 202 where Datadog's intake would."""

    def __init__(self):
        # (path, headers in lower case, body unpacked) of each request.
        self.requests = requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            """Takes a request."""

            def do_POST(self):  # pylint: disable=invalid-name
                """Remembers it."""
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(202 if "/api/v2/" in self.path else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):  # pylint: disable=arguments-differ
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()
