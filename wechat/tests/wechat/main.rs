//! The client and the pretend WeChat, over real HTTP.

mod client;
mod support;
