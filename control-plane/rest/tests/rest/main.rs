//! The REST shim over real sockets. A test named `case_NNN_…` is the case NNN of the compatibility contract.

#[cfg(test)]
mod client_walk;
#[cfg(test)]
mod conventions;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod other_fields;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod races;
#[cfg(test)]
mod recommendations;
#[cfg(test)]
mod route_parts;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod rpc_deletion;
#[cfg(test)]
mod rpcs;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod service;
#[cfg(test)]
mod strict_items;
#[cfg(test)]
mod upstreams;
