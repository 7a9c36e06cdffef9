"""An HTTP server inside this process, for worlds that are written in Python."""

import http.server
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives every request to the server's `answer`, whatever its method."""

    protocol_version = "HTTP/1.1"

    def handle_request(self):
        """Reads a request and writes its answer."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        status, given, content = self.server.answer(self.command, self.path, headers, body)
        self.send_response(status)
        for key, value in {**given, "Content-Length": len(content)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

    def log_message(self, *_):
        """Nothing: who answers may write down what is asked."""


class LocalServer(http.server.ThreadingHTTPServer):
    """A server on loopback; `answer(method, url, headers, body)` gives status, headers and body."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.url = answer, f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        """Ends it."""
        self.shutdown()
        self.server_close()
