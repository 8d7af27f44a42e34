//! saoma: sign in with WeChat by scanning.

fn main() {}
