//! What the client does when everything goes right.

use wechat::{Code, JsCode, Page, PictureKind, QrCode, Scene, UnlimitedCode};

use crate::support::World;

#[tokio::test]
async fn somebody_scans_a_code_and_is_known() {
    let world = World::start().await;
    let client = world.client();
    let scene = Scene::new("Vw3kT9xQ2mB7rLpZ0aYcNd").unwrap();
    let page = Page::new("pages/login/login").unwrap();

    let picture = client.code_unlimited(&UnlimitedCode::new(scene).page(page)).await.unwrap();
    assert_eq!(picture.kind, PictureKind::Jpeg);

    let js_code = world.pretend.js_code("alice", Some("alice-everywhere"));
    let session = client.code2session(JsCode::new(js_code).unwrap()).await.unwrap();
    assert_eq!(session.openid, world.pretend.openid("alice"));
    assert_eq!(session.unionid.as_deref(), Some("alice-everywhere"));
    assert!(client.check_session(&session.openid, &session.session_key).await.unwrap());
}

#[tokio::test]
async fn all_three_kinds_of_code_come_as_pictures() {
    let world = World::start().await;
    let client = world.client();
    let hyaline = UnlimitedCode::new(Scene::new("s").unwrap()).is_hyaline(true);
    assert_eq!(client.code_unlimited(&hyaline).await.unwrap().kind, PictureKind::Png);

    let a = client.code(&Code::new("pages/login/login?scene=s").unwrap()).await.unwrap();
    assert_eq!((a.kind, a.used), (PictureKind::Jpeg, Some(1)));
    let c = client.qr_code(&QrCode::new("pages/login/login?scene=s").unwrap()).await.unwrap();
    assert_eq!((c.kind, c.used), (PictureKind::Jpeg, None));
}
