"""The transports against real servers: what each answer is taken for, how long a wait may last, whom to trust."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from otelwarden.core import SIGNALS
from otelwarden.otlp import Cancellation, GrpcTransport, HttpTransport, Outcome, Tls, Transport, Verdict
from otelwarden.otlp.retry_after import of_header
from otelwarden.testing import Fault, FaultMode, FaultyReceiver


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def connect(protocol: str) -> Iterator[Callable[..., Transport]]:
    with ExitStack() as stack:

        def connect(receiver: FaultyReceiver) -> Transport:
            if protocol == "grpc":
                return stack.enter_context(closing(GrpcTransport(f"127.0.0.1:{receiver.grpc_port}")))
            return stack.enter_context(closing(http(receiver.http_endpoint)))

        yield connect


def http(base: str, **settings: Any) -> HttpTransport:
    return HttpTransport({signal: f"{base}/v1/{signal}" for signal in SIGNALS}, **settings)


def send(transport: Transport, *, timeout: float = 5.0, cancellation: Cancellation | None = None) -> Outcome:
    return transport.send("traces", b"", timeout=timeout, cancellation=cancellation or Cancellation())


@pytest.mark.parametrize(
    ("mode", "verdict", "codes"),
    [
        (FaultMode.REFUSE, Verdict.RETRYABLE, ("UNAVAILABLE", "connection")),
        (FaultMode.HANG, Verdict.RETRYABLE, ("DEADLINE_EXCEEDED", "timeout")),
        (FaultMode.CLOSE, Verdict.RETRYABLE, ("UNAVAILABLE", "connection")),
        (FaultMode.UNAVAILABLE, Verdict.RETRYABLE, ("UNAVAILABLE", "503")),
        (FaultMode.UNAUTHENTICATED, Verdict.ENDPOINT_FAULT, ("UNAUTHENTICATED", "401")),
        (FaultMode.FORBIDDEN, Verdict.ENDPOINT_FAULT, ("PERMISSION_DENIED", "403")),
        (FaultMode.REDIRECT, Verdict.ENDPOINT_FAULT, ("INTERNAL", "302")),
        (FaultMode.BAD_REQUEST, Verdict.DATA_FAULT, ("INVALID_ARGUMENT", "400")),
        (FaultMode.INTERNAL, Verdict.ENDPOINT_FAULT, ("INTERNAL", "500")),
        (FaultMode.GARBAGE, Verdict.ENDPOINT_FAULT, ("garbage", "garbage")),
        (FaultMode.PARTIAL, Verdict.DELIVERED, ("OK", "200")),
        (FaultMode.SLOW, Verdict.DELIVERED, ("OK", "200")),
    ],
    ids=lambda value: getattr(value, "value", None) if isinstance(value, FaultMode) else None,
)
def test_each_answer_is_taken_for_what_it_is(
    connect: Callable[..., Transport],
    receiver: FaultyReceiver,
    protocol: str,
    mode: FaultMode,
    verdict: Verdict,
    codes: tuple[str, str],
) -> None:
    transport = connect(receiver)
    assert send(transport).verdict is Verdict.DELIVERED  # so that a connection is open when the fault comes
    receiver.set_fault(Fault(mode=mode, delay=0.1, rejected=3))
    outcome = send(transport, timeout=1.0 if mode in (FaultMode.HANG, FaultMode.SLOW_BODY) else 60.0)
    assert (outcome.verdict, outcome.code) == (verdict, codes[protocol == "http"])
    assert outcome.rejected == (3 if mode is FaultMode.PARTIAL else 0)
    assert outcome.unconfirmed == (mode in (FaultMode.HANG, FaultMode.CLOSE))
    receiver.clear_fault()
    outcome = send(transport)
    deadline = time.monotonic() + 60
    while outcome.verdict is not Verdict.DELIVERED and time.monotonic() < deadline:
        outcome = send(transport)  # gRPC reconnects when it is ready to
    assert outcome.verdict is Verdict.DELIVERED


def test_what_a_frozen_endpoint_has_not_read_is_taken_back(
    connect: Callable[..., Transport], receiver: FaultyReceiver
) -> None:
    """Else it works on it when it thaws, while another endpoint has it too: a duplicate that need not be."""
    transport, cancellation = connect(receiver), Cancellation()
    assert send(transport).verdict is Verdict.DELIVERED
    receiver.freeze()
    outcome = transport.send("traces", bytes(32 << 20), timeout=0.5, cancellation=cancellation)
    assert (outcome.verdict, outcome.unconfirmed) == (Verdict.RETRYABLE, True)
    receiver.thaw()
    assert send(connect(receiver)).verdict is Verdict.DELIVERED
    assert [len(request.body) for request in receiver.requests() if request.accepted] == [0, 0]


def test_exhaustion_is_an_overload_only_with_a_time(
    connect: Callable[..., Transport], receiver: FaultyReceiver, protocol: str
) -> None:
    transport = connect(receiver)
    receiver.set_fault(Fault(mode=FaultMode.EXHAUSTED, retry_after=2, retry_info="status-details"))
    outcome = send(transport)
    assert (outcome.verdict, outcome.retry_after) == (Verdict.RETRYABLE, 2.0)
    receiver.set_fault(Fault(mode=FaultMode.EXHAUSTED))
    outcome = send(transport)
    expected = Verdict.ENDPOINT_FAULT if protocol == "grpc" else Verdict.RETRYABLE
    assert (outcome.verdict, outcome.retry_after) == (expected, None)


class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every method in one way."""

    def __init__(self, export: Callable[[bytes, Any], bytes]) -> None:
        self._export = export

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._export)  # type: ignore[no-untyped-call]


def test_a_grpc_server_with_a_limit_says_too_large() -> None:
    server = grpc.server(  # type: ignore[no-untyped-call]
        ThreadPoolExecutor(1),
        options=(("grpc.max_receive_message_length", 1000),),
    )
    server.add_generic_rpc_handlers((Handler(lambda body, context: b""),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with closing(GrpcTransport(f"127.0.0.1:{port}")) as transport:
        outcome = transport.send("traces", b"x" * 2000, timeout=60, cancellation=Cancellation())
    server.stop(None)
    assert (outcome.verdict, outcome.reason) == (Verdict.DATA_FAULT, "too_large")


def test_a_wait_can_be_called_off(connect: Callable[..., Transport], receiver: FaultyReceiver) -> None:
    transport, cancellation = connect(receiver), Cancellation()
    receiver.set_fault(Fault(mode=FaultMode.HANG))
    timer = threading.Timer(0.2, cancellation.cancel)
    timer.start()
    assert send(transport, timeout=300, cancellation=cancellation).verdict is Verdict.CANCELLED
    assert send(transport, timeout=300, cancellation=cancellation).verdict is Verdict.CANCELLED


class RawServer:
    """A server that says what it is told to, a piece at a time."""

    def __init__(self, pieces: list[bytes], pause: float = 0.0) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._pieces, self._pause = pieces, pause
        self.base = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(65536):
                    for piece in self._pieces:
                        connection.sendall(piece)
                        time.sleep(self._pause)
            except OSError:
                return

    def close(self) -> None:
        self._socket.close()


def answer(body: bytes, content_type: str = "application/x-protobuf", status: str = "200 OK", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: 1\r\n"] * 600],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n", *[b"\x00"] * 600],
        [b"H"] * 600,
    ],
    ids=["headers", "body", "status"],
)
def test_an_answer_that_trickles_never_exceeds_the_timeout(pieces: list[bytes]) -> None:
    with closing(RawServer(pieces, pause=0.1)) as server, closing(http(server.base)) as transport:
        start = time.monotonic()
        outcome = send(transport, timeout=0.4)
        assert 0.35 < time.monotonic() - start < 30  # the answer takes 60
        assert (outcome.verdict, outcome.code) == (Verdict.RETRYABLE, "timeout")


@pytest.mark.parametrize(
    ("said", "verdict", "code"),
    [
        (answer(b"<html>log in</html>", "text/html"), Verdict.ENDPOINT_FAULT, "garbage"),
        (answer(b"{}", "application/json"), Verdict.DELIVERED, "200"),
        (answer(b'{"partialSuccess":{"rejectedSpans":"2"}}', "application/json"), Verdict.DELIVERED, "200"),
        (answer(b"not json", "application/json"), Verdict.ENDPOINT_FAULT, "garbage"),
        (answer(b"", status="204 No Content"), Verdict.DELIVERED, "204"),
        (answer(b"", status="404 Not Found"), Verdict.ENDPOINT_FAULT, "404"),
        (answer(b"", status="413 Too Large"), Verdict.DATA_FAULT, "413"),
        (answer(b"", status="504 Gateway Timeout"), Verdict.RETRYABLE, "504"),
        (answer(b"x" * (5 << 20)), Verdict.RETRYABLE, "connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Verdict.RETRYABLE, "connection"),
    ],
    ids=range(10),
)
def test_what_other_servers_say(said: bytes, verdict: Verdict, code: str) -> None:
    with closing(RawServer([said])) as server, closing(http(server.base)) as transport:
        outcome = send(transport)
        assert (outcome.verdict, outcome.code) == (verdict, code)


def test_a_connection_is_kept_and_replaced_when_it_was_closed(receiver: FaultyReceiver) -> None:
    with closing(RawServer([answer(b"")])) as server, closing(http(server.base)) as transport:
        assert [send(transport).code for _ in range(3)] == ["200"] * 3
        assert server.connections == 1
    with closing(http(receiver.http_endpoint)) as transport:
        assert send(transport).verdict is Verdict.DELIVERED
        receiver.restart()
        assert [send(transport).verdict for _ in range(2)][-1] is Verdict.DELIVERED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 120 ", 120.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert of_header(value, now=10.0) == seconds


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority of our own, and files of what it signed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.ca_file = self._write("ca.pem", self._certificate("test authority", self._key, ca=True))

    def _certificate(self, name: str, key: Any, *, ca: bool = False) -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            # Python 3.13 verifies by the letter of RFC 5280, which asks for these.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
        )
        if ca:
            builder = builder.add_extension(_SIGNS_CERTIFICATES, True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(f"{name}.pem", self._certificate(name, key)), self._write(f"{name}.key", pem)

    def _write(self, name: str, content: bytes) -> str:
        path = self._directory / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_https_trusts_whom_it_is_told_to_and_shows_who_we_are(authority: Authority) -> None:
    certificate, key = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    subjects: list[Any] = []

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    subjects.append(dict(part[0] for part in (connection.getpeercert() or {})["subject"]))
                    connection.recv(65536)
                    connection.sendall(answer(b""))
            except OSError:
                plain.close()

    threading.Thread(target=serve, daemon=True).start()
    base = f"https://127.0.0.1:{listener.getsockname()[1]}"
    own, own_key = authority.issue("us")
    with closing(listener):
        tls = Tls(ca_file=authority.ca_file, certificate_file=own, key_file=own_key)
        with closing(http(base, tls=tls)) as transport:
            assert send(transport).verdict is Verdict.DELIVERED
        assert subjects == [{"commonName": "us"}]
        with closing(http(base, tls=Tls(certificate_file=own, key_file=own_key))) as transport:
            assert send(transport).code == "connection"  # the system does not know our authority
        with closing(http(base, tls=Tls(ca_file=authority.ca_file))) as transport:
            assert send(transport).verdict is not Verdict.DELIVERED


def test_grpc_trusts_whom_it_is_told_to_and_shows_who_we_are(authority: Authority) -> None:
    certificate, key = authority.issue("server")
    seen: list[Any] = []

    def export(body: bytes, context: Any) -> bytes:
        seen.append(context.auth_context()["x509_common_name"])
        return b""

    server = grpc.server(ThreadPoolExecutor(1))  # type: ignore[no-untyped-call]
    server.add_generic_rpc_handlers((Handler(export),))
    credentials = grpc.ssl_server_credentials(  # type: ignore[no-untyped-call]
        [(Path(key).read_bytes(), Path(certificate).read_bytes())], Path(authority.ca_file).read_bytes(), True
    )
    target = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    own, own_key = authority.issue("us")
    with closing(
        GrpcTransport(target, tls=Tls(ca_file=authority.ca_file, certificate_file=own, key_file=own_key))
    ) as transport:
        assert send(transport).verdict is Verdict.DELIVERED
    assert seen == [[b"us"]]
    with closing(GrpcTransport(target, tls=Tls(ca_file=authority.ca_file))) as transport:
        assert send(transport).code == "UNAVAILABLE"
    server.stop(None)


def test_files_that_are_no_certificates_are_found_before_they_are_needed(authority: Authority, tmp_path: Path) -> None:
    own, own_key = authority.issue("us")
    _, others_key = authority.issue("others")
    (tmp_path / "text").write_text("not PEM")
    assert not list(Tls(ca_file=authority.ca_file, certificate_file=own, key_file=own_key).faults())
    assert [f.pointer for f in Tls(ca_file=str(tmp_path / "text")).faults()] == ["/ca_file"]
    assert [f.pointer for f in Tls(certificate_file=own, key_file=others_key).faults()] == ["/certificate_file"]
    assert [f.pointer for f in Tls(certificate_file=own, key_file="/nowhere").faults()] == ["/key_file"]
