"""Uses a contract with web3.py and prints what it saw as JSON. Input: one JSON argument."""

import json
import sys

from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractLogicError

REQUEST = json.loads(sys.argv[1])


def main():
    web3 = Web3(HTTPProvider(REQUEST["url"], exception_retry_configuration=None))
    account = Account.from_key(REQUEST["key"])
    rich = Web3.to_checksum_address(REQUEST["rich"])

    def mined(transaction):
        transaction |= {"from": account.address, "nonce": web3.eth.get_transaction_count(account.address)}
        signed = account.sign_transaction(transaction)
        sent = web3.eth.send_raw_transaction(signed.raw_transaction)
        return web3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.1)

    sender = {"from": account.address}
    seen = {
        "chain_id": web3.eth.chain_id,
        "block_number": web3.eth.block_number,
        "balance": str(web3.eth.get_balance(rich)),
    }
    factory = web3.eth.contract(abi=REQUEST["abi"], bytecode=REQUEST["bytecode"])
    deployment = mined(factory.constructor().build_transaction(sender | {"nonce": 0}))
    contract = web3.eth.contract(address=deployment["contractAddress"], abi=REQUEST["abi"])
    seen["before"] = contract.functions.get().call()
    written = mined(contract.functions.set(REQUEST["value"]).build_transaction(sender | {"nonce": 1}))
    seen["after"] = contract.functions.get().call()
    logs = contract.events.Stored().get_logs(
        from_block=deployment["blockNumber"], to_block=written["blockNumber"]
    )
    seen["logs"] = [log["args"]["value"] for log in logs]

    with web3.batch_requests() as batch:
        batch.add(web3.eth.get_block(0))
        batch.add(web3.eth.get_balance(rich))
        batch.add(contract.functions.get())
        genesis, balance, stored = batch.execute()
    # A batch of web3.py has no eth_chainId: the first block stands for it.
    seen["batch"] = [str(seen["chain_id"] if genesis["number"] == 0 else None), str(balance), str(stored)]
    seen["largest_batch"] = 3

    try:
        contract.functions.refuse().call()
    except ContractLogicError as error:
        seen["revert_reason"] = error.message.removeprefix("execution reverted: ")
        seen["revert_data"] = error.data
    print(json.dumps(seen))


main()
