//! saoma.
fn main() {}
