//! tyrctl: the command line of TyrScale.
fn main() {}
