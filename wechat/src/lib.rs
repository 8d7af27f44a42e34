//! WeChat's side: a typed client of its server API, and the pretend WeChat.
