//! The documentation says what is true: its curl example runs as it stands.

use std::process::Command;

use crate::support::World;

#[tokio::test]
async fn the_curl_example_of_the_pretend_wechat_runs() {
    let world = World::start().await;
    let page = include_str!("../../../docs/pretend-wechat.md");
    let (_, rest) = page.split_once("## curl\n\n```sh\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let example = example
        .replace("http://127.0.0.1:9100", &world.url)
        .replace("-o code.jpg", "-o - | head -c 3 | od -An -tx1")
        .replace("&grant_type=authorization_code\"", "&grant_type=authorization_code\"; echo");

    let run = tokio::task::spawn_blocking(move || {
        Command::new("sh").args(["-euc", &example]).env("NO_PROXY", "127.0.0.1").output()
    });
    let output = run.await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines[0].contains(&world.pretend.openid("alice")), "{said}");
    assert_eq!(lines[1].trim(), "ff d8 ff", "{said}");
    assert!(lines[2].contains("\"errcode\":45009"), "{said}");
}
