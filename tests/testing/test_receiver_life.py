"""A receiver that is killed, stopped, ended and started again, and what outlives it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otelwarden.testing import Fault, FaultMode, FaultyReceiver, ReceiverError

OK = ("OK", 200)
GONE = ("UNAVAILABLE", "NewConnectionError", "ProtocolError")


@pytest.fixture(scope="module")
def mortal() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(mortal: FaultyReceiver) -> Iterator[FaultyReceiver]:
    """A receiver to do away with; it is started again if need be."""
    mortal.forget()
    yield mortal
    if not is_open(mortal.grpc_port):
        mortal.restart()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_what_was_acknowledged_outlives_sigkill(receiver: FaultyReceiver, connect: Any) -> None:
    acknowledged: set[str] = set()

    def send(name: str) -> None:
        sender = connect(receiver)
        number = 0
        while sender.send_spans(f"{name}-{number}").outcome in OK:
            acknowledged.add(f"{name}-{number}")
            number += 1

    threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    receiver.wait_for(50)
    receiver.kill()
    for thread in threads:
        thread.join()
    received = [span.name for span in receiver.spans()]
    assert len(received) == len(set(received)) >= 50
    assert acknowledged <= set(received)


def test_a_killed_receiver_comes_back_on_its_ports(receiver: FaultyReceiver, client: Any, connect: Any) -> None:
    ports, pid = (receiver.grpc_port, receiver.http_port), receiver.pid
    assert client.send_spans("first life").outcome in OK
    receiver.kill()
    assert client.send_spans("lost").outcome in GONE
    assert not any(is_open(port) for port in ports)
    with pytest.raises(ReceiverError, match=r"restart\(\) it first"):
        receiver.clear_fault()
    receiver.kill()  # a second time does no harm

    receiver.restart()
    assert ((receiver.grpc_port, receiver.http_port), receiver.pid != pid) == (ports, True)
    assert connect(receiver).send_spans("second life").outcome in OK
    assert [span.name for span in receiver.spans()] == ["first life", "second life"]


def test_a_restart_ends_a_fault(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.REFUSE))
    assert not is_open(receiver.http_port)
    receiver.restart()
    assert client.send().outcome in OK


def test_terminate_closes_the_ports(receiver: FaultyReceiver, client: Any) -> None:
    assert client.send_spans("kept").outcome in OK
    receiver.terminate()
    assert client.send_spans("lost").outcome in GONE
    assert not is_open(receiver.grpc_port)
    assert [span.name for span in receiver.spans()] == ["kept"]


def test_a_frozen_receiver_accepts_connections_and_answers_nothing(
    receiver: FaultyReceiver, client: Any, connect: Any
) -> None:
    assert client.send_spans("before").outcome in OK
    receiver.freeze()
    assert is_open(receiver.http_port)
    assert client.send_spans("lost", timeout=0.2).outcome in ("DEADLINE_EXCEEDED", "ReadTimeoutError")
    assert receiver.spans()[0].name == "before"  # what it wrote can be read meanwhile

    waiting = connect(receiver)
    thawing = threading.Timer(0.1, receiver.thaw)
    thawing.start()
    assert waiting.send_spans("patient").outcome in OK
    thawing.join()
    assert "patient" in [span.name for span in receiver.spans()]


def test_a_frozen_receiver_can_be_killed(receiver: FaultyReceiver) -> None:
    receiver.freeze()
    receiver.kill()
    assert not is_open(receiver.grpc_port)


def test_a_restart_on_a_taken_port_says_why_it_failed(receiver: FaultyReceiver) -> None:
    receiver.kill()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", receiver.http_port))
        thief.listen()
        with pytest.raises(ReceiverError, match="Address already in use"):
            receiver.restart()
    assert not is_open(receiver.grpc_port)


def test_nobody_gets_the_port_of_a_dead_receiver(receiver: FaultyReceiver) -> None:
    receiver.kill()
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(200)]
    ports = {taken.getsockname()[1] for taken in sockets}
    for taken in sockets:
        taken.close()
    assert not ports & {receiver.grpc_port, receiver.http_port}


def test_what_was_received_can_be_asked_for_after_the_end(connect: Any) -> None:
    with FaultyReceiver() as receiver:
        connect(receiver).send_spans("kept")
    assert [span.name for span in receiver.spans()] == ["kept"]
    assert b"kept" in receiver.raw_bytes()
    receiver.close()  # a second time does no harm


PARENT = """
import os, sys, time
from otelwarden.testing import FaultyReceiver
receiver = FaultyReceiver()
{action}
print(receiver.grpc_port, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("action", ["", "receiver.freeze()"], ids=["running", "frozen"])
def test_a_receiver_dies_with_its_parent(action: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT.format(action=action)]
    # Nobody is left to delete what the receiver wrote, but pytest.
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as parent:
        port = int(parent.stdout.readline())
        assert is_open(port)
        parent.kill()
    deadline = time.monotonic() + 60
    while is_open(port):
        assert time.monotonic() < deadline, "the receiver outlived its parent"
        time.sleep(0.01)


FORKING = """
import os, sys, urllib3
from otelwarden.testing import FaultyReceiver
receiver = FaultyReceiver()
child = os.fork()
if child == 0:
    sys.exit()
os.waitpid(child, 0)
headers = {"Content-Type": "application/x-protobuf"}
urllib3.request("POST", receiver.http_endpoint + "/v1/traces", headers=headers, retries=False)
print(len(receiver.requests()))
receiver.close()
"""


def test_a_fork_of_the_parent_that_ends_leaves_the_receiver_alone() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "1\n"
