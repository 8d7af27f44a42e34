//! saoma.
