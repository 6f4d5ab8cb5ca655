; A contract small enough to read: keeps a number, tells of changes, refuses.
;
;   function set(uint256 value)            stores it and emits Stored(value)
;   function get() returns (uint256)       the stored value
;   function refuse()                      reverts with Error("not today")
;
; One instruction a line; "@name" pushes the offset of "name:"; contract.py assembles it.

; dispatch on the first four bytes of the call data
PUSH1 0x00
CALLDATALOAD
PUSH1 0xe0
SHR
DUP1
PUSH4 0x60fe47b1        ; set(uint256)
EQ
PUSH1 @set
JUMPI
DUP1
PUSH4 0x6d4ce63c        ; get()
EQ
PUSH1 @get
JUMPI
PUSH4 0x62c69b80        ; refuse()
EQ
PUSH1 @refuse
JUMPI
PUSH1 0x00
DUP1
REVERT

set:
PUSH1 0x04
CALLDATALOAD
DUP1
PUSH1 0x00
SSTORE
PUSH1 0x00
MSTORE
PUSH32 0xc6d8c0af6d21f291e7c359603aa97e0ed500f04db6e983b9fce75a91c6b8da6b ; Stored(uint256)
PUSH1 0x20
PUSH1 0x00
LOG1
STOP

get:
PUSH1 0x00
SLOAD
PUSH1 0x00
MSTORE
PUSH1 0x20
PUSH1 0x00
RETURN

; Error(string): selector, offset 32, length 9, "not today"
refuse:
PUSH32 0x08c379a000000000000000000000000000000000000000000000000000000000
PUSH1 0x00
MSTORE
PUSH1 0x20
PUSH1 0x04
MSTORE
PUSH1 0x09
PUSH1 0x24
MSTORE
PUSH32 0x6e6f7420746f6461790000000000000000000000000000000000000000000000
PUSH1 0x44
MSTORE
PUSH1 0x64
PUSH1 0x00
REVERT
