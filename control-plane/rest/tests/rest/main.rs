//! The REST shim over real sockets. A test named `case_NNN_…` is the case NNN of the compatibility contract.

#[cfg(test)]
mod conventions;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod service;
