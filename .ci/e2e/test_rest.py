"""The REST interface for clients made for the original program.

Their packages are in no registry that a build reaches, so the strict decoder of the Go client is written down here:
it refuses members and enum values that it does not know, items without their required members, and integers beyond
32 bits.
"""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

SCHEMATHESIS = [
    "--phases=examples,coverage,fuzzing",
    # The document does not tell every rule of the input, e.g. which members exclude each other.
    "--exclude-checks=positive_data_acceptance",
    "--max-examples=20",
    "--seed=1",
    "--request-timeout=10",
    "--generation-database=none",
    "--no-color",
]

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INTEGER, NUMBER, TEXT, FLAG = int, (int, float), str, bool


def one_of(*values):
    return lambda value: value in values


def many(kind):
    return lambda value: isinstance(value, list) and all(decodes(kind, item) for item in value)


class Struct:
    """An object of exactly these members."""

    def __init__(self, required, optional=()):
        self.required, self.members = set(required), dict(required) | dict(optional)

    def __call__(self, value):
        return (
            isinstance(value, dict)
            and self.required <= value.keys() <= self.members.keys()
            and all(decodes(self.members[name], member) for name, member in value.items())
        )


def decodes(kind, value):
    """Whether the Go client decodes the value as that kind."""
    if kind in (INTEGER, NUMBER) and isinstance(value, bool):
        return False
    if kind is INTEGER:
        return isinstance(value, int) and -(2**31) <= value < 2**31
    return isinstance(value, kind) if isinstance(kind, (type, tuple)) else kind(value)


STRATEGY = one_of("weight-round-robin", "least-load", "failover-priority")
NETWORK = Struct({"blockchain": TEXT, "chain_id": INTEGER, "name": TEXT})
RPC = Struct(
    {"network_name": TEXT, "provider": TEXT, "type": one_of("private", "public"), "url": TEXT},
    {"uuid": UUID.fullmatch, "chain_id": INTEGER, "collectors": many(one_of("eth_block_number", "net_peers"))},
)
BREAKER = Struct(
    {},
    {
        "enabled": FLAG,
        "max_requests": INTEGER,
        "max_consecutive_failures": INTEGER,
        "interval": INTEGER,
        "timeout": INTEGER,
        "name": TEXT,
    },
)
PROBE = Struct({}, {"method": TEXT, "status_code": INTEGER, "body": TEXT, "headers": dict})
HEALTH = Struct(
    {},
    {
        "enabled": FLAG,
        "type": one_of("eth_block_number", "eth_syncing", "custom", ""),
        "combined_with_circuit_breaker": FLAG,
        "interval": INTEGER,
        "timeout": INTEGER,
        "request": PROBE,
    },
)
ROUTE = Struct(
    {"host": TEXT, "load_balancer_strategy": STRATEGY},
    {"uuid": UUID.fullmatch, "path": TEXT, "circuit_breaker": BREAKER, "health_check": HEALTH},
)
UPSTREAM = Struct(
    {"weight": NUMBER},
    {
        "uuid": UUID.fullmatch,
        "rpc_uuid": TEXT,
        "host": TEXT,
        "port": INTEGER,
        "path": TEXT,
        "scheme": TEXT,
        "fasthttp_settings": Struct({}, {"proxy_host": TEXT}),
    },
)
RECOMMENDATION = Struct(
    {
        "route_uuid": UUID.fullmatch,
        "schedule": TEXT,
        "network_name": TEXT,
        "strategy": one_of("STRATEGY_CUSTOM", "STRATEGY_HIGHEST_BLOCK", "STRATEGY_AIR_UNDER_THE_CURVE"),
    }
)


@pytest.fixture
def rest(own_stack):
    return own_stack.rest


def items(rest, path, kind):
    """The items of a list, each decoded."""
    found = rest.ok("GET", path)["items"]
    for item in found:
        assert kind(item), item
    return found


def test_every_operation_of_the_original_clients_decodes(rest):
    breaker = {"enabled": True, "max_requests": 1, "max_consecutive_failures": 3, "interval": 120000, "timeout": 60000}
    probe = {"method": "GET", "status_code": 200, "headers": {"X-K": "v"}}
    health = {"enabled": True, "type": "custom", "interval": 10000, "timeout": 500, "request": probe}

    assert rest.ok("POST", "/networks", {"name": "n", "chain_id": 5, "blockchain": "ethereum"}) == {"chain_id": 5}
    rpc = rest.rpc("http://127.0.0.1:1/key", "n")
    rest.ok("PUT", "/rpcs", {"uuid": rpc, "provider": "infura"})
    route = rest.route("/sdk", "least-load", circuit_breaker=breaker, health_check=health)
    rest.ok("PATCH", f"/routes/{route}", {"load_balancer_strategy": "failover-priority"})
    by_rpc = rest.upstream(route, rpc, 33.5)
    plain = {"host": "localhost", "port": 8545, "path": "/", "scheme": "http", "weight": 1}
    proxied = plain | {"fasthttp_settings": {"proxy_host": "user:pass@localhost:9050"}}
    by_address = rest.ok("PUT", f"/routes/{route}/upstreams", proxied)["uuid"]
    again = rest.ok("POST", f"/routes/{route}/upstreams", plain)["uuid"]
    wanted = {"route_uuid": route, "network_name": "n", "schedule": "*/10 * * * *", "strategy": "STRATEGY_CUSTOM"}
    assert rest.ok("POST", "/recommendations", wanted) == {"route_uuid": route}
    rest.ok("PUT", "/recommendations", wanted | {"strategy": "STRATEGY_HIGHEST_BLOCK"})

    assert "n" in [network["name"] for network in items(rest, "/networks", NETWORK)]
    (listed,) = items(rest, f"/rpcs?uuid={rpc}", RPC)
    assert (listed["provider"], listed["chain_id"], listed["collectors"]) == ("infura", 5, ["eth_block_number"])
    (listed,) = items(rest, f"/routes?uuid={route}", ROUTE)
    assert listed["circuit_breaker"] == breaker
    listed = {upstream["uuid"]: upstream for upstream in items(rest, f"/routes/{route}/upstreams", UPSTREAM)}
    assert listed.keys() == {by_rpc, by_address, again}
    assert (listed[by_rpc]["host"], listed[by_rpc]["port"], listed[by_rpc]["weight"]) == ("127.0.0.1", 1, 33.5)
    (listed,) = items(rest, f"/recommendations?route_uuid={route}", RECOMMENDATION)
    assert listed == wanted | {"strategy": "STRATEGY_HIGHEST_BLOCK"}
    assert rest.ok("GET", "/plugins") == {}
    assert rest.ok("GET", f"/routes/{route}/plugins") == {}

    attach = {"name": "header", "type": "Middleware", "config": {}, "priority": 1}
    assert rest.send("POST", f"/routes/{route}/attach-plugin", attach)[0] == 404
    detach = {"name": "header", "type": "Middleware"}
    assert rest.send("POST", f"/routes/{route}/detach-plugin", detach)[0] == 404
    assert rest.ok("DELETE", f"/routes/{route}/upstreams/{again}") == {"uuid": again}
    assert rest.ok("DELETE", f"/recommendations/{route}") is None
    assert rest.ok("DELETE", f"/routes/{route}") is None
    assert rest.ok("DELETE", f"/rpcs/{rpc}") is None
    assert rest.ok("DELETE", "/networks/n") == {"name": "n"}


def test_the_document_and_its_page_are_served(own_stack):
    root = f"http://127.0.0.1:{own_stack.control_plane.rest}"
    with urllib.request.urlopen(f"{root}/swagger/doc.json", timeout=10) as answer:
        document = json.load(answer)
    assert any(path.endswith("/routes/{route_uuid}/upstreams") for path in document["paths"])
    with urllib.request.urlopen(f"{root}/swagger/index.html", timeout=10) as answer:
        assert answer.headers.get_content_type() == "text/html" and b"swagger-ui" in answer.read()


def test_requests_made_from_the_document_get_documented_answers_and_no_server_error(own_stack):
    own_stack.rest.route("/before", "least-load")
    document = f"http://127.0.0.1:{own_stack.control_plane.rest}/swagger/doc.json"
    command = [Path(sys.executable).with_name("schemathesis"), "run", document, *SCHEMATHESIS]
    run = subprocess.run(command, cwd=own_stack.directory, capture_output=True, text=True, timeout=150)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-1000:]
    own_stack.rest.route("/after", "least-load")
