"""A web server in a thread, with the faults that a test asks for."""

import contextlib
import http.server
import threading
import time


class Site:
    """Files by path, and for each request a fault: a function of the handler, or None."""

    def __init__(self, files):
        self.files = dict(files)
        self.faults = []
        self.requests = []
        """`(path, Range header)` of every request."""

    @contextlib.contextmanager
    def served(self):
        """The address of this site."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(self):
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.close_connection = True
                site.requests.append((self.path, self.headers["Range"]))
                fault = site.faults.pop(0) if site.faults else None
                with contextlib.suppress(ConnectionError):  # the client has left
                    (fault or send)(self, site.files.get(self.path))

            def log_message(self, *args):
                pass

        return Handler


def send(handler, content, *, upto=None, ranges=True, length=True, start=None, spoil=False):
    """Answer as a server should, or with a fault."""
    if content is None:
        handler.send_error(404)
        return
    asked = handler.headers["Range"]
    first = int(asked.removeprefix("bytes=").rstrip("-")) if asked and ranges else 0
    if first and first >= len(content):
        handler.send_response(416)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(206 if asked and ranges else 200)
    if asked and ranges:
        said = first if start is None else start
        handler.send_header("Content-Range", f"bytes {said}-{len(content) - 1}/{len(content)}")
    body = bytearray(content[first:])
    if length:
        handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    if spoil:
        body[0] ^= 1
    handler.wfile.write(body[:upto])


def fault(**settings):
    return lambda handler, content: send(handler, content, **settings)


def status(code):
    return lambda handler, content: handler.send_error(code)


def say(answer):
    """Send these very bytes."""
    return lambda handler, content: handler.wfile.write(answer)


def stall(upto):
    """Send a part and then nothing, without closing."""

    def stalled(handler, content):
        send(handler, content, upto=upto)
        handler.wfile.flush()
        time.sleep(1.5)

    return stalled


def hang_up(handler, content):
    """Close the connection without a word."""


def flood(handler, content):
    """Send more than there is, without end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))
