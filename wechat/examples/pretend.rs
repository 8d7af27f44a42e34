//! The pretend WeChat alone, for the tests of any language:
//! `cargo run -p saoma-wechat --features pretend --example pretend -- 127.0.0.1:9100 APPID SECRET`.
#![expect(clippy::print_stdout, reason = "whoever starts it wants to know where it listens")]

use std::net::SocketAddr;

use wechat::pretend::{Pretend, Settings};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut settings = Settings::default();
    let mut words = std::env::args().skip(1);
    let listen = words.next().unwrap_or_else(|| "127.0.0.1:9100".to_owned());
    settings.appid = words.next().unwrap_or(settings.appid);
    settings.secret = words.next().unwrap_or(settings.secret);

    let listener = tokio::net::TcpListener::bind(&listen).await?;
    println!("http://{}", listener.local_addr()?);
    let router = Pretend::new(settings).router();
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
}
