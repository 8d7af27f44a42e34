//! What attackers try, a story each, from outside: a running saoma on real sockets, with the pretend WeChat behind it.

mod account;
mod headers;
mod limits;
mod region;
mod sockets;
mod stage;
