"""What alerts are sent to in tests: a server that takes posts, and one that takes mail, on this machine."""

from __future__ import annotations

import base64
import datetime
import http.server
import ipaddress
import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE_S = 60.0


def wait_for(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s, "nothing came"
        time.sleep(0.02)


class Posts(http.server.ThreadingHTTPServer):
    """Takes what is posted.

    Attributes:
        got: bodies that were taken, parsed. answers: codes of the next answers; 200 where there are no more. tries: all
            that was asked, with method and path. hangs: while set, nothing is answered.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.got, self.answers, self.tries = list[dict[str, Any]](), list[int](), list[tuple[str, str]]()
        self.hangs, self.may_go = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), _Post)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/T0/canary-of-the-address?key=canary-of-the-query"

    def kinds(self) -> list[str]:
        return [body["kind"] for body in self.got]

    def handle_error(self, *_: Any) -> None:
        pass  # whoever has waited for too long has gone


class _Post(http.server.BaseHTTPRequestHandler):
    server: Posts

    def do_POST(self) -> None:
        self.server.tries.append(("POST", self.path))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.hangs.is_set():
            self.server.may_go.wait(PATIENCE_S)
        code = self.server.answers.pop(0) if self.server.answers else 200
        if code == 200:
            assert self.headers["Content-Type"] == "application/json; charset=utf-8"
            self.server.got.append(json.loads(body))
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.tries.append(("GET", self.path))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Mails(socketserver.ThreadingTCPServer):
    """Takes mail: as much of SMTP (RFC 5321, STARTTLS of RFC 3207, AUTH of RFC 4954) as a client needs.

    Args:
        security: none, starttls or ssl. certificate: file of it and of its key, of `make_certificate`.
        refuses: recipients that it doesn't know. password: that it wants; None takes mail without a login.
    Attributes:
        got: what was taken, each its lines. said: commands that came before encryption.
    """

    daemon_threads, allow_reuse_address = True, True

    def __init__(
        self, security: str, certificate: Path, refuses: tuple[str, ...] = (), password: str | None = None
    ) -> None:
        self.security, self.refuses, self.password = security, refuses, password
        self.got, self.in_clear = list[str](), list[str]()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        super().__init__(("127.0.0.1", 0), _Mail)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: Any) -> None:
        pass


class _Mail(socketserver.BaseRequestHandler):
    server: Mails

    def handle(self) -> None:
        self.encrypted = self.server.security == "ssl"
        connection = self.server.context.wrap_socket(self.request, server_side=True) if self.encrypted else self.request
        while connection is not None:
            connection = self.serve(connection)

    def serve(self, connection: Any) -> Any:
        """Take commands; return the connection that goes on encrypted, or None at the end."""
        lines, logged_in = connection.makefile("rwb", buffering=0), self.server.password is None
        if self.encrypted == (self.server.security == "ssl"):
            lines.write(b"220 here\r\n")
        while line := lines.readline().decode().strip():
            if not self.encrypted:
                self.server.in_clear.append(line)
            match line.split()[0].upper():
                case "EHLO":
                    more = b"250-AUTH PLAIN\r\n" if self.encrypted else b"250-STARTTLS\r\n"
                    lines.write(b"250-here\r\n" + more + b"250 8BITMIME\r\n")
                case "STARTTLS":
                    lines.write(b"220 go\r\n")
                    self.encrypted = True
                    return self.server.context.wrap_socket(connection, server_side=True)
                case "AUTH":
                    given = base64.b64decode(line.split()[2]).decode().split("\0")
                    logged_in = given[1:] == ["me", self.server.password]
                    lines.write(b"235 in\r\n" if logged_in else b"535 5.7.8 not with this password\r\n")
                case "RCPT" if any(each in line for each in self.server.refuses) or not logged_in:
                    lines.write(b"550 5.1.1 nobody of that name\r\n")
                case "DATA":
                    lines.write(b"354 go\r\n")
                    self.server.got.append("".join(iter(lambda: lines.readline().decode().replace("\r", ""), ".\n")))
                    lines.write(b"250 taken\r\n")
                case "QUIT":
                    lines.write(b"221 bye\r\n")
                    return None
                case _:
                    lines.write(b"250 ok\r\n")
        return None


def make_certificate(path: Path) -> None:
    """Write a certificate of 127.0.0.1, which vouches for itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    held = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(held + made.public_bytes(serialization.Encoding.PEM))
