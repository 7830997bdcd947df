//! The `flaggate` binary.

fn main() {}
