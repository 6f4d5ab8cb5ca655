"""What the cases stand on: three nodes, a control plane, a gateway."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from programs import CHAIN_ID, STARTED, Anvil, ControlPlane, Gateway, eventually  # noqa: E402
from traffic import Endpoint, Rest  # noqa: E402

MARKERS = {1, 2, 3}


class Stack:
    """A control plane with one gateway and the rpcs of three nodes."""

    def __init__(self, directory, nodes):
        self.directory, self.nodes = directory, nodes
        self.control_plane = ControlPlane(directory)
        self.gateway = Gateway(directory, self.control_plane)
        self.rest = Rest(self.control_plane.rest)

    def start(self):
        self.control_plane.start()
        # A gateway is ready once it has a configuration: there is one from the first change on.
        self.rest.network("development", CHAIN_ID)
        self.gateway.start()
        self.rpcs = [self.rest.rpc(node.url, "development") for node in self.nodes]
        return self

    def route(self, path, strategy, weights=(50, 50, 50), **more):
        """A route over the nodes, in use by the gateway; returns its uuid and its upstreams'."""
        route = self.rest.route(path, strategy, **more)
        weighted = list(zip(self.rpcs, weights, strict=True))
        upstreams = [self.rest.upstream(route, rpc, weight) for rpc, weight in weighted]
        expected = {max(zip(weights, MARKERS))[1]} if strategy == "failover-priority" else MARKERS
        eventually(lambda: set(self.endpoint(path).markers(6)) == expected)
        return route, upstreams

    def endpoint(self, path):
        return Endpoint(self.gateway.port, path)

    def stop(self):
        for program in (self.gateway, self.control_plane):
            program.stop()


@contextmanager
def started_nodes(directory):
    nodes = [Anvil(f"anvil-{marker}", directory, marker) for marker in sorted(MARKERS)]
    try:
        for node in nodes:
            node.start()
        yield [node.ready() for node in nodes]
    finally:
        for node in nodes:
            node.kill()


@contextmanager
def started_stack(directory, nodes):
    stack = Stack(directory, nodes)
    try:
        yield stack.start()
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def nodes(tmp_path_factory):
    """Three nodes that no case may end."""
    with started_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def stack(tmp_path_factory, nodes):
    """A control plane and a gateway that no case may end, with two routes."""
    with started_stack(tmp_path_factory.mktemp("stack"), nodes) as stack:
        # State is kept by one node: the others do not know its contracts.
        stack.route("/state", "failover-priority", weights=(100, 50, 10))
        stack.route("/reads", "weight-round-robin")
        yield stack


@pytest.fixture
def own_stack(tmp_path, nodes):
    """A control plane and a gateway for one case."""
    with started_stack(tmp_path, nodes) as stack:
        yield stack


@pytest.fixture
def stack_of_own_nodes(tmp_path):
    """A control plane, a gateway and three nodes for one case."""
    with started_nodes(tmp_path) as nodes, started_stack(tmp_path, nodes) as stack:
        yield stack


def pytest_runtest_setup():
    # Only programs that a case saw alive have something to tell about its failure.
    STARTED[:] = [program for program in STARTED if program.running()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for program in STARTED:
            report.sections.append((f"log of {program.name} ({program.log})", program.tail()))
    return report


COUNTS = {"passed": 0, "failed": 0}


def pytest_runtest_logreport(report):
    if report.failed:
        COUNTS["failed"] += 1
    elif report.when == "call" and report.passed:
        COUNTS["passed"] += 1


def pytest_sessionfinish():
    if path := os.environ.get("E2E_COUNTS"):
        Path(path).write_text("{passed} passed, {failed} failed\n".format(**COUNTS))
    for program in STARTED:
        program.stop()
