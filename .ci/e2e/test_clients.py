"""Client libraries work through the gateway as they do against a node."""

import json
import secrets
import subprocess
import sys

import pytest

import contract
from programs import CHAIN_ID, HERE, MARKER, npm_binary

VALUE = 42
LIBRARIES = {
    "viem": ["node", HERE / "clients" / "viem.mjs"],
    "ethers": ["node", HERE / "clients" / "ethers.mjs"],
    "web3.py": [sys.executable, HERE / "clients" / "web3_client.py"],
}


def cast(*words):
    """What cast prints; raises when it fails."""
    command = [npm_binary("@foundry-rs", "cast"), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def funded_key(node):
    """A new key with ten ether on the node."""
    key = "0x" + secrets.token_hex(32)
    node.call("anvil_setBalance", cast("wallet", "address", key), hex(10**19))
    return key


@pytest.fixture(scope="module", params=LIBRARIES)
def seen(request, stack):
    """What a library saw when it used a contract through the gateway."""
    order = {
        "url": f"http://127.0.0.1:{stack.gateway.port}/state",
        "key": funded_key(stack.nodes[0]),
        "rich": MARKER,
        "abi": contract.ABI,
        "bytecode": contract.creation_code(),
        "value": VALUE,
    }
    command = [*LIBRARIES[request.param], json.dumps(order)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout)


def test_reads_chain_height_and_balance(seen, stack):
    assert seen["chain_id"] == CHAIN_ID
    assert 0 < seen["block_number"] <= int(stack.nodes[0].call("eth_blockNumber"), 16)
    assert seen["balance"] == str(stack.nodes[0].marker)


def test_deploys_a_contract_and_calls_it(seen):
    assert (seen["before"], seen["after"]) == (0, VALUE)


def test_finds_the_logs_of_the_contract(seen):
    assert seen["logs"] == [VALUE]


def test_batches_calls(seen, stack):
    assert seen["largest_batch"] >= 2
    assert seen["batch"] == [str(CHAIN_ID), str(stack.nodes[0].marker), str(VALUE)]


def test_reads_the_reason_and_the_data_of_a_revert(seen):
    assert seen["revert_reason"] == contract.REASON
    assert seen["revert_data"] == contract.REVERT_DATA


def test_cast_reads_sends_and_reports_a_revert(stack):
    node, at = stack.nodes[0], ["--rpc-url", f"http://127.0.0.1:{stack.gateway.port}/state"]
    assert cast("chain-id", *at) == str(CHAIN_ID)
    assert int(cast("block-number", *at)) > 0
    assert cast("balance", *at, MARKER) == str(node.marker)

    sign = [*at, "--json", "--private-key", funded_key(node)]
    address = json.loads(cast("send", *sign, "--create", contract.creation_code()))["contractAddress"]
    assert json.loads(cast("send", *sign, address, "set(uint256)", str(VALUE)))["status"] == "0x1"
    assert cast("call", *at, address, "get()(uint256)") == str(VALUE)
    (log,) = json.loads(cast("logs", *at, "--json", "--address", address, "Stored(uint256)"))
    assert int(log["data"], 16) == VALUE
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cast("call", *at, address, "refuse()")
    assert contract.REASON in refused.value.stderr and contract.REVERT_DATA in refused.value.stderr
