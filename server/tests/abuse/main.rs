//! What attackers try, a story each, from outside: a running saoma on real sockets, with the pretend WeChat behind it.

mod limits;
mod sockets;
mod stage;
