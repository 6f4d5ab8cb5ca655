// Uses a contract with viem and prints what it saw as JSON. Input: one JSON argument.
import { createPublicClient, createWalletClient, defineChain, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const { url, key, rich, abi, bytecode, value } = JSON.parse(process.argv[2])

let largestBatch = 0
const transport = http(url, {
  batch: true,
  retryCount: 0,
  onFetchRequest: async (request) => {
    const body = await request.clone().json()
    if (Array.isArray(body)) largestBatch = Math.max(largestBatch, body.length)
  },
})
const chainId = await createPublicClient({ transport }).getChainId()
const chain = defineChain({
  id: chainId,
  name: 'development',
  nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [url] } },
})
const account = privateKeyToAccount(key)
const reader = createPublicClient({ chain, transport, pollingInterval: 100 })
const writer = createWalletClient({ account, chain, transport, pollingInterval: 100 })

const blockNumber = await reader.getBlockNumber({ cacheTime: 0 })
const balance = await reader.getBalance({ address: rich })

const deployment = await reader.waitForTransactionReceipt({ hash: await writer.deployContract({ abi, bytecode }) })
const contract = { abi, address: deployment.contractAddress }
const before = await reader.readContract({ ...contract, functionName: 'get' })
const written = await reader.waitForTransactionReceipt({
  hash: await writer.writeContract({ ...contract, functionName: 'set', args: [BigInt(value)] }),
})
const after = await reader.readContract({ ...contract, functionName: 'get' })
const logs = await reader.getContractEvents({
  ...contract,
  eventName: 'Stored',
  fromBlock: deployment.blockNumber,
  toBlock: written.blockNumber,
})

largestBatch = 0
const together = await Promise.all([
  reader.getChainId(),
  reader.getBalance({ address: rich }),
  reader.readContract({ ...contract, functionName: 'get' }),
])

const revert = await reader.readContract({ ...contract, functionName: 'refuse' }).then(
  () => ({}),
  (error) => error.walk((cause) => cause.name === 'ContractFunctionRevertedError') ?? { reason: String(error) },
)

console.log(
  JSON.stringify({
    chain_id: chainId,
    block_number: Number(blockNumber),
    balance: String(balance),
    before: Number(before),
    after: Number(after),
    logs: logs.map((log) => Number(log.args.value)),
    batch: together.map(String),
    largest_batch: largestBatch,
    revert_reason: revert.reason,
    revert_data: revert.raw,
  }),
)
