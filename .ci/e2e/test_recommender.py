"""A node that is paused loses its weight by each strategy that should see it, and gets it back."""

import json
import signal
import subprocess
import threading
import time

import pytest
from programs import BIN, CHAIN_ID, Follower, Prometheus, eventually
from traffic import Endpoint

SEEING = {
    "STRATEGY_HIGHEST_BLOCK": [],
    "STRATEGY_AREA_UNDER_THE_CURVE": [],
    "STRATEGY_ERROR_RATE": [],
    "STRATEGY_LATENCY": [],
    "STRATEGY_BALANCED": [],
    "STRATEGY_COST": [],
    "STRATEGY_CUSTOM": ["--expression", "exp(-lag_blocks)"],
}
# Heights must be younger than the greatest age whenever a run looks, reports on their way included.
PROMPT = ["--interval-ms", 1000, "--calls-per-minute", 600]
QUICK = ["--schedule", "@every 2s", "--window", 10, "--min-samples", 3, "--min-dwell", 6, "--max-age", 5]


class Reads:
    """A read at a time on each path, without a pause for answers, inside a `with` block."""

    def __init__(self, port, paths):
        self.endpoints = [Endpoint(port, path) for path in paths for _ in range(6)]
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.read, args=[endpoint]) for endpoint in self.endpoints]

    def read(self, endpoint):
        while not self.ending.is_set():
            try:
                endpoint.call("eth_chainId")
            except (OSError, AssertionError, ValueError):
                pass
            time.sleep(0.1)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()


class Setting:
    """A network, a route and a recommendation per strategy, all over the same three nodes."""

    def __init__(self, stack):
        self.stack = stack
        self.routes, self.upstreams = {}, {}
        for number, (strategy, more) in enumerate(SEEING.items(), 1):
            network, path = f"network-{number}", f"/{strategy.lower()}"
            stack.rest.network(network, CHAIN_ID)
            # A query makes the url another one, and the node does not look at it.
            rpcs = [stack.rest.rpc(f"{node.url}/?route={number}", network) for node in stack.nodes]
            route = stack.rest.route(path, "weight-round-robin")
            self.upstreams[strategy] = [stack.rest.upstream(route, rpc, 30) for rpc in rpcs]
            self.routes[strategy] = route
            self.tyrctl("route", "update", route, "--attempt-timeout", "300ms")
            words = ["--route-id", route, "--network", network, "--strategy", strategy, *QUICK, *more]
            self.tyrctl("recommendation", "create", *words)

    def tyrctl(self, *words):
        command = [BIN / "tyrctl", "-o", "json", "--server", f"http://127.0.0.1:{self.stack.control_plane.grpc}"]
        run = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout or "null")

    def explained(self, strategy):
        return self.tyrctl("recommendation", "explain", self.routes[strategy])

    def first_weight(self, strategy):
        """The weight of the first node after the last run that says."""
        run = self.explained(strategy)
        assert run["upstreams"], run
        first = self.upstreams[strategy][0]
        return next(upstream["after"] for upstream in run["upstreams"] if upstream["upstream"] == first)

    def paths(self):
        return [f"/{strategy.lower()}" for strategy in self.routes]

    def all_within(self, low, high, seconds=60):
        for strategy in self.routes:
            try:
                eventually(lambda: low <= self.first_weight(strategy) <= high, seconds=seconds, interval=0.5)
            except TimeoutError as late:
                raise AssertionError((strategy, self.explained(strategy))) from late


@pytest.mark.parametrize("source", ["telemetry", "prometheus"])
def test_a_paused_node_loses_its_weight_and_gets_it_back(stack_of_own_nodes, tmp_path, source):
    stack = stack_of_own_nodes
    setting = Setting(stack)
    exporter = Follower(tmp_path, stack.control_plane, "exporter", "exporter", *PROMPT).start()
    prometheus = Prometheus(tmp_path, [stack.gateway.admin, exporter.admin])
    options = []
    if source == "prometheus":
        prometheus.start()
        options = ["--prometheus-url", prometheus.url]
    recommender = Follower(tmp_path, stack.control_plane, "recommender", "recommender", *options).start()
    node, other = stack.nodes[0], stack.nodes[1]
    try:
        with Reads(stack.gateway.port, setting.paths()):
            setting.all_within(20, 50)
            assert setting.explained("STRATEGY_BALANCED")["source"] == source
            node.child.send_signal(signal.SIGSTOP)
            setting.all_within(0, 6)
            node.child.send_signal(signal.SIGCONT)
            behind = int(other.call("eth_blockNumber"), 16) - int(node.call("eth_blockNumber"), 16)
            node.call("anvil_mine", hex(behind))
            setting.all_within(20, 60)
    finally:
        node.child.send_signal(signal.SIGCONT)
        for program in (recommender, exporter, prometheus):
            if program.child:
                program.stop()


def test_another_recommender_takes_over_and_none_makes_a_run_twice(stack_of_own_nodes, tmp_path):
    stack = stack_of_own_nodes
    setting = Setting(stack)
    exporter = Follower(tmp_path, stack.control_plane, "exporter", "exporter", *PROMPT).start()
    both = [Follower(tmp_path, stack.control_plane, "recommender", name).start() for name in ("first", "second")]
    route = setting.routes["STRATEGY_HIGHEST_BLOCK"]

    def runs():
        return setting.tyrctl("recommendation", "runs", route, "--limit", 100)

    try:
        leader = eventually(runs)[0]["node_id"]
        killed = next(one for one in both if one.name == leader)
        killed.kill()
        began = time.monotonic()
        eventually(lambda: runs()[0]["node_id"] != leader, seconds=20)
        assert time.monotonic() - began < 15
        ids = [run["id"] for run in runs()]
        assert len(ids) == len(set(ids))
    finally:
        for program in (*both, exporter):
            program.stop()
