//! The part of etcd's API (version 3) that the store needs: keys, transactions and watches.
//!
//! Only what is used is described, by the names and numbers of etcd's documentation, "etcd API"; what else an etcd says
//! is skipped. A client library of its own would need `protoc` wherever this is built.

tonic::include_proto!("etcdserverpb");
