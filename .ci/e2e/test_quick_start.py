"""The first steps of the original program's README, with curl, as written there."""

import json
import subprocess

import pytest

from programs import BIN, Program, eventually, free_port
from traffic import Rest

ROUTE = """{
    "host": "starton-local.com",
    "Path": "/eth/strat3",
    "load_balancer_strategy": "failover-priority",
    "circuit_breaker": {
        "enabled": true,
        "interval": 120000,
        "max_consecutive_failures": 3,
        "max_requests": 1,
        "timeout": 60000
  },
  "health_check": {
    "combined_with_circuit_breaker": true,
    "enabled": true,
    "interval": 10000,
    "timeout": 5000,
    "type": "eth_block_number"
  }
}"""
NETWORK = '{"blockchain": "ethereum", "name": "ethereum-mainnet", "chain_id": 1}'
RPC = """{
  "collectors": ["eth_block_number"],
  "network_name": "ethereum-mainnet",
  "provider": "alchemy",
  "type": "private",
  "url": "%s"
}"""
UPSTREAM = '{"rpc_uuid": "%s", "weight": 90.0}'
CALL = '{"jsonrpc": "2.0", "method": "eth_syncing", "params": [], "id": 1}'


def curl(url, body=None, *options):
    """Status and decoded body of what curl prints."""
    post = [] if body is None else ["-X", "POST", "-H", "Content-Type: application/json", "-d", body]
    command = ["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *post, *options, url]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=15).stdout
    text, _, status = output.rpartition("\n")
    return int(status), json.loads(text)


@pytest.fixture
def up(tmp_path):
    """`tyrctl up`: every service in one process."""
    names = ["grpc", "rest", "control-plane-admin", "gateway", "gateway-admin", "exporter-admin", "recommender-admin"]
    ports = {name: free_port() for name in names}
    options = [word for name, port in ports.items() for word in (f"--{name}-listen", f"127.0.0.1:{port}")]
    program = Program("tyrctl-up", [BIN / "tyrctl", "up", "--data-dir", tmp_path / "data", *options], tmp_path).start()
    try:
        eventually(lambda: Rest(ports["rest"]).ok("GET", "/networks"))
        yield ports
    finally:
        program.stop()


def test_the_readme_quick_start_works_as_written(up, nodes):
    api = f"http://localhost:{up['rest']}/api/v1"
    status, route = curl(f"{api}/routes", ROUTE)
    assert (status, route["message"]) == (201, "Resource Created Successfully")
    assert curl(f"{api}/networks", NETWORK) == (
        201,
        {"status": 201, "code": 0, "message": "Resource Created Successfully", "data": {"chain_id": 1}},
    )
    status, rpc = curl(f"{api}/rpcs", RPC % nodes[0].url)
    assert status == 201
    status, upstream = curl(f"{api}/routes/{route['data']['uuid']}/upstreams", UPSTREAM % rpc["data"]["uuid"])
    assert status == 201 and upstream["data"]["uuid"]

    # /etc/hosts of the README, for one command.
    resolve = ["--resolve", f"starton-local.com:{up['gateway']}:127.0.0.1"]
    by_name = f"http://starton-local.com:{up['gateway']}/eth/strat3"
    by_host = f"http://127.0.0.1:{up['gateway']}/eth/strat3"
    answer = (200, {"jsonrpc": "2.0", "id": 1, "result": False})
    eventually(lambda: curl(by_name, CALL, *resolve) == answer)
    for _ in range(10):
        assert curl(by_host, CALL, "-H", "Host: starton-local.com") == answer


def test_the_quick_start_route_is_listed_with_its_breaker_and_health_check(up):
    api = f"http://127.0.0.1:{up['rest']}/api/v1"
    status, _ = curl(f"{api}/routes", ROUTE)
    assert status == 201
    _, listed = curl(f"{api}/routes")
    (route,) = listed["data"]["items"]
    written = json.loads(ROUTE)
    assert route["circuit_breaker"] == written["circuit_breaker"]
    assert route["health_check"] == written["health_check"]
    assert route["path"] == written["Path"]
