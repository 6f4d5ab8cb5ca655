"""Requests reach the right node, and clients notice neither a dead node nor a change."""

import itertools
import json
import urllib.request

import contract
from programs import MARKER, eventually
from traffic import Endpoint, Load


def test_equal_weights_share_the_reads_equally(stack):
    assert stack.endpoint("/reads").markers(30) == {1: 10, 2: 10, 3: 10}


def test_failover_priority_asks_the_heaviest_upstream_only(stack):
    assert stack.endpoint("/state").markers(20) == {1: 20}


def test_weights_share_the_reads_in_proportion(stack):
    stack.route("/weighted", "weight-round-robin", weights=(50, 30, 20))
    assert stack.endpoint("/weighted").markers(100) == {1: 50, 2: 30, 3: 20}


def test_least_load_uses_every_node(stack):
    stack.route("/least", "least-load")
    with Load(stack.gateway.port, "/least") as load:
        load.pass_by(400)
    assert not load.failures
    assert set(load.answers) == {1, 2, 3}


def test_weight_zero_drains_a_node(stack):
    route, upstreams = stack.route("/drained", "weight-round-robin")
    stack.rest.upstream(route, stack.rpcs[1], 0, uuid=upstreams[1])
    eventually(lambda: set(stack.endpoint("/drained").markers(12)) == {1, 3})


def test_a_revert_arrives_byte_for_byte(stack):
    node = stack.nodes[0]
    sender = node.call("eth_accounts")[0]
    node.call("eth_sendTransaction", {"from": sender, "data": contract.creation_code()})
    nonce = int(node.call("eth_getTransactionCount", sender, "pending"), 16) - 1

    def receipt():
        block = node.call("eth_getBlockByNumber", "latest", True)
        for transaction in block["transactions"]:
            if transaction["from"] == sender and int(transaction["nonce"], 16) == nonce:
                return node.call("eth_getTransactionReceipt", transaction["hash"])
        return None

    address = eventually(receipt)["contractAddress"]
    refuse = {"to": address, "data": "0x62c69b80"}
    body = json.dumps({"jsonrpc": "2.0", "id": "a\u00e9", "method": "eth_call", "params": [refuse, "latest"]}).encode()
    with urllib.request.urlopen(
        urllib.request.Request(node.url, body, {"Content-Type": "application/json"}), timeout=10
    ) as direct:
        expected = direct.read()
    assert contract.REVERT_DATA.encode() in expected
    assert stack.endpoint("/state").post(body) == (200, expected)


def test_ids_come_back_as_they_were_sent(stack):
    for given in ("9007199254740993", '"0x1"', "null", '"caf\\u00e9"'):
        body = '{"jsonrpc":"2.0","id":%s,"method":"eth_chainId","params":[]}' % given
        status, answer = stack.endpoint("/reads").post(body)
        assert status == 200
        # Anvil itself rewrites escapes, not values.
        assert json.loads(answer)["id"] == json.loads(given)


def test_a_batch_is_answered_in_order(stack):
    calls = [{"jsonrpc": "2.0", "id": i, "method": "eth_chainId", "params": []} for i in range(20)]
    status, answer = stack.endpoint("/reads").post(json.dumps(calls))
    assert status == 200
    assert [item["id"] for item in json.loads(answer)] == list(range(20))


def test_an_unknown_path_is_404_with_a_json_rpc_error(stack):
    status, body = stack.endpoint("/nowhere").post('{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}')
    assert status == 404
    assert json.loads(body)["error"]["message"]


def test_a_node_that_dies_under_load_is_not_noticed(stack_of_own_nodes):
    stack = stack_of_own_nodes
    stack.route("/reads", "weight-round-robin")
    with Load(stack.gateway.port, "/reads") as load:
        load.pass_by(300)
        assert set(load.answers) == {1, 2, 3}
        stack.nodes[1].kill()
        load.pass_by(4000)
    assert load.failures == []


def test_a_node_that_comes_back_is_used_again(stack_of_own_nodes):
    stack = stack_of_own_nodes
    health = {"enabled": True, "type": "eth_syncing", "combined_with_circuit_breaker": False}
    stack.route("/reads", "weight-round-robin", health_check=health | {"interval": 200, "timeout": 1000})
    stack.nodes[1].kill()
    eventually(lambda: 2 not in stack.endpoint("/reads").markers(12))
    stack.nodes[1].start().ready()
    eventually(lambda: set(stack.endpoint("/reads").markers(12)) == {1, 2, 3})


def test_a_lagging_node_is_left_out_until_it_catches_up(stack_of_own_nodes):
    stack = stack_of_own_nodes
    health = {"enabled": True, "type": "eth_block_number", "combined_with_circuit_breaker": False}
    stack.route("/reads", "weight-round-robin", health_check=health | {"interval": 200, "timeout": 1000})
    for node in stack.nodes[:2]:
        node.call("anvil_mine", hex(20))
    eventually(lambda: set(stack.endpoint("/reads").markers(12)) == {1, 2})
    stack.nodes[2].call("anvil_mine", hex(20))
    eventually(lambda: set(stack.endpoint("/reads").markers(12)) == {1, 2, 3})


def test_changes_under_load_lose_no_request(own_stack):
    stack = own_stack
    route, upstreams = stack.route("/reads", "weight-round-robin")
    rest, rpcs = stack.rest, stack.rpcs
    strategies = itertools.cycle(["least-load", "failover-priority", "weight-round-robin"])
    with Load(stack.gateway.port, "/reads") as load:
        for turn in range(60):
            rest.upstream(route, rpcs[turn % 3], 10 + turn, uuid=upstreams[turn % 3])
            if turn % 3 == 1:
                rest.ok("DELETE", f"/routes/{route}/upstreams/{upstreams[0]}")
                upstreams[0] = rest.upstream(route, rpcs[0], 40)
            if turn % 4 == 2:
                rest.ok("PATCH", f"/routes/{route}", {"load_balancer_strategy": next(strategies)})
            if turn % 6 == 3:
                neighbour = rest.route(f"/neighbour-{turn}", "least-load")
                rest.upstream(neighbour, rpcs[0], 5)
                rest.ok("DELETE", f"/routes/{neighbour}")
            load.pass_by(60)
    assert load.failures == []
    assert set(load.answers) == {1, 2, 3}


def test_a_deleted_route_stops_and_a_moved_one_answers_at_its_new_path(stack):
    route, _ = stack.route("/moving", "weight-round-robin")
    stack.rest.ok("PATCH", f"/routes/{route}", {"path": "/moved"})
    read = '{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["%s","latest"]}' % MARKER
    old, new = stack.endpoint("/moving"), stack.endpoint("/moved")
    eventually(lambda: old.post(read)[0] == 404 and new.post(read)[0] == 200)
    stack.rest.ok("DELETE", f"/routes/{route}")
    eventually(lambda: Endpoint(stack.gateway.port, "/moved").post(read)[0] == 404)
