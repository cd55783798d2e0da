"""Serves a built site to the browser on this machine: `python serve.py DIRECTORY --port 8000`."""

import argparse
import errno
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
PORTS_TO_TRY = 50


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line for each request, and so that a rebuilt page is seen at once."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    # On some systems a reused address may be shared with the program that already has it.
    allow_reuse_address = sys.platform != "win32"

    def handle_error(self, request: object, client_address: object) -> None:
        # A browser that leaves a page before it has loaded is no news.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def open_server(directory: str, first_port: int) -> Server:
    """The server on the first free port from `first_port` on; each busy one is named on the way."""
    handler = functools.partial(QuietHandler, directory=directory)
    for port in range(first_port, first_port + PORTS_TO_TRY):
        try:
            return Server((HOST, port), handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            print(f"Port {port} is taken; trying {port + 1}.", flush=True)
    sys.exit(f"No free port from {first_port} to {port}. Choose another: make book PORT=9000")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    with open_server(arguments.directory, arguments.port) as server:
        print(f"==> The book is at http://{HOST}:{server.server_port}/ (stop with Ctrl-C)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
