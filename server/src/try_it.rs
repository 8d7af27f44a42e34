//! Everything in one process, to play with.
