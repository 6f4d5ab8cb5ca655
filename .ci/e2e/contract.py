"""The contract that clients deploy through the gateway, assembled from contract.asm."""

from pathlib import Path

OPCODES = {
    "STOP": 0x00,
    "EQ": 0x14,
    "SHR": 0x1C,
    "CALLDATALOAD": 0x35,
    "CODECOPY": 0x39,
    "MSTORE": 0x52,
    "SLOAD": 0x54,
    "SSTORE": 0x55,
    "JUMPI": 0x57,
    "JUMPDEST": 0x5B,
    "DUP1": 0x80,
    "LOG1": 0xA1,
    "RETURN": 0xF3,
    "REVERT": 0xFD,
}
PUSH0 = 0x5F

REASON = "not today"
# What refuse() reverts with: Error(string) as the ABI encodes it.
REVERT_DATA = "0x08c379a0" + f"{32:064x}" + f"{len(REASON):064x}" + REASON.encode().hex().ljust(64, "0")

ABI = [
    {
        "type": "function",
        "name": "set",
        "stateMutability": "nonpayable",
        "inputs": [{"name": "value", "type": "uint256"}],
        "outputs": [],
    },
    {
        "type": "function",
        "name": "get",
        "stateMutability": "view",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint256"}],
    },
    {"type": "function", "name": "refuse", "stateMutability": "view", "inputs": [], "outputs": []},
    {
        "type": "event",
        "name": "Stored",
        "anonymous": False,
        "inputs": [{"name": "value", "type": "uint256", "indexed": False}],
    },
]


def assemble(source):
    """Bytes of an assembly text with labels."""
    code, labels, holes = bytearray(), {}, []
    for line in source.splitlines():
        words = line.partition(";")[0].split()
        if not words:
            continue
        word = words[0]
        if word.endswith(":"):
            labels[word[:-1]] = len(code)
            code.append(OPCODES["JUMPDEST"])
        elif word.startswith("PUSH"):
            size = int(word[4:])
            code.append(PUSH0 + size)
            if words[1].startswith("@"):
                holes.append((len(code), size, words[1][1:]))
                code += bytes(size)
            else:
                code += int(words[1], 16).to_bytes(size)
        else:
            code.append(OPCODES[word])
    for at, size, label in holes:
        code[at : at + size] = labels[label].to_bytes(size)
    return bytes(code)


def creation_code():
    """What a creating transaction carries: a constructor that returns the contract."""
    body = assemble(Path(__file__).with_name("contract.asm").read_text())
    prologue = "PUSH1 {size}\nDUP1\nPUSH1 {start}\nPUSH1 0x00\nCODECOPY\nPUSH1 0x00\nRETURN"
    start = len(assemble(prologue.format(size="0x00", start="0x00")))
    return "0x" + (assemble(prologue.format(size=hex(len(body)), start=hex(start))) + body).hex()
