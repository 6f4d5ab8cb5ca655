// Uses a contract with ethers and prints what it saw as JSON. Input: one JSON argument.
import { Contract, ContractFactory, JsonRpcProvider, NonceManager, Wallet } from 'ethers'

const { url, key, rich, abi, bytecode, value } = JSON.parse(process.argv[2])

const provider = new JsonRpcProvider(url, undefined, { polling: true, pollingInterval: 100, cacheTimeout: -1 })
let largestBatch = 0
provider.on('debug', (event) => {
  if (event.action === 'sendRpcPayload' && Array.isArray(event.payload)) {
    largestBatch = Math.max(largestBatch, event.payload.length)
  }
})
const signer = new NonceManager(new Wallet(key, provider))

const chainId = (await provider.getNetwork()).chainId
const blockNumber = await provider.getBlockNumber()
const balance = await provider.getBalance(rich)

const deployed = await new ContractFactory(abi, bytecode, signer).deploy()
const deployment = await deployed.deploymentTransaction().wait()
const contract = new Contract(deployment.contractAddress, abi, signer)
const before = await contract.get()
const written = await (await contract.set(value)).wait()
const after = await contract.get()
const logs = await contract.queryFilter('Stored', deployment.blockNumber, written.blockNumber)

largestBatch = 0
const together = await Promise.all([
  provider.send('eth_chainId', []),
  provider.getBalance(rich),
  contract.get(),
])

const revert = await contract.refuse().then(
  () => ({}),
  (error) => error,
)

console.log(
  JSON.stringify({
    chain_id: Number(chainId),
    block_number: blockNumber,
    balance: String(balance),
    before: Number(before),
    after: Number(after),
    logs: logs.map((log) => Number(log.args.value)),
    batch: [String(Number(together[0])), String(together[1]), String(together[2])],
    largest_batch: largestBatch,
    revert_reason: revert.reason,
    revert_data: revert.data,
  }),
)
provider.destroy()
