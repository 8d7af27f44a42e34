//! Slow and odd peers: dropped in time, with nobody else delayed.
