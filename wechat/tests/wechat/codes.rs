//! Codes as the pretend WeChat draws them: headers, widths, colours, and above all that a camera
//! can read them.

use serde_json::json;
use wechat::{Code, EnvVersion, LineColor, Page, QrCode, Scene, UnlimitedCode, Width};

use crate::support::{APPID, World};

const B: &str = "/wxa/getwxacodeunlimit";

/// A picture as a camera sees it, on white paper.
struct Seen {
    image: image::GrayImage,
}

impl Seen {
    fn of(bytes: &[u8]) -> Self {
        let mut image = image::load_from_memory(bytes).unwrap().to_rgba8();
        for pixel in image.pixels_mut() {
            if pixel.0[3] == 0 {
                *pixel = image::Rgba([255; 4]);
            }
        }
        Self { image: image::DynamicImage::ImageRgba8(image).to_luma8() }
    }

    fn text(&self) -> String {
        let (width, height) = self.image.dimensions();
        let pixel = |x: usize, y: usize| {
            self.image.get_pixel(u32::try_from(x).unwrap(), u32::try_from(y).unwrap()).0[0]
        };
        let mut seen =
            rqrr::PreparedImage::prepare_from_greyscale(width as usize, height as usize, pixel);
        let grids = seen.detect_grids();
        assert_eq!(grids.len(), 1, "there is one code in the picture");
        grids[0].decode().unwrap().1
    }

    /// The quiet zone on the narrowest side, in modules.
    fn quiet_modules(&self) -> f64 {
        let (width, height) = self.image.dimensions();
        let dark = |x: u32, y: u32| self.image.get_pixel(x, y).0[0] < 128;
        let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            if dark(x, y) {
                (left, right) = (left.min(x), right.max(x));
                (top, bottom) = (top.min(y), bottom.max(y));
            }
        }
        // The upper edge of the finder in the corner is seven modules wide.
        let edge = (left..width).take_while(|&x| dark(x, top)).count();
        let quiet = [left, top, width - 1 - right, height - 1 - bottom].into_iter().min().unwrap();
        f64::from(quiet) / (f64::from(u32::try_from(edge).unwrap()) / 7.0)
    }
}

#[tokio::test]
async fn a_camera_reads_every_kind_at_every_width() {
    let world = World::held().await;
    let client = world.client();
    let scene = "Vw3kT9xQ2mB7rLpZ0aYcNd";
    let url = format!("weixin://pretend/{APPID}/pages/login/login?scene={scene}");
    for pixels in [280, 431, 640] {
        let width = Width::new(pixels).unwrap();
        let b = UnlimitedCode::new(Scene::new(scene).unwrap())
            .page(Page::new("pages/login/login").unwrap())
            .width(width);
        let path = format!("pages/login/login?scene={scene}");
        for picture in [
            client.code_unlimited(&b).await.unwrap(),
            client.code_unlimited(&b.clone().is_hyaline(true)).await.unwrap(),
            client.code(&Code::new(&path).unwrap().width(width)).await.unwrap(),
            client.qr_code(&QrCode::new(&path).unwrap().width(width)).await.unwrap(),
        ] {
            let seen = Seen::of(&picture.bytes);
            assert_eq!(seen.image.dimensions(), (pixels, pixels));
            assert_eq!(seen.text(), url);
            assert!(seen.quiet_modules() >= 4.0, "{} modules", seen.quiet_modules());
        }
    }
}

#[tokio::test]
async fn a_phone_page_of_ones_own_takes_the_place_of_the_made_up_url() {
    let world = World::with(|settings| {
        settings.phone_url = Some("https://phone.example/?page={path}&scene={scene}".to_owned());
    })
    .await;
    let scene = Scene::new("a=1&b").unwrap();
    let picture = world.client().code_unlimited(&UnlimitedCode::new(scene)).await.unwrap();
    let url = "https://phone.example/?page=pages/login/login&scene=a%3D1%26b";
    assert_eq!(Seen::of(&picture.bytes).text(), url);
    let code = Code::new("pages/login/login?scene=xyz").unwrap();
    let picture = world.client().code(&code).await.unwrap();
    let url = "https://phone.example/?page=pages/login/login&scene=xyz";
    assert_eq!(Seen::of(&picture.bytes).text(), url);
}

#[tokio::test]
async fn the_answer_to_code_b_carries_the_headers_that_were_seen() {
    let world = World::held().await;
    let reply = world.post_with_token(B, json!({"scene": "412213075488489536"})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("connection"), Some("keep-alive"));
    assert_eq!(reply.header("cache-control"), Some("no-cache, must-revalidate"));
    assert_eq!(reply.header("content-type"), Some("image/jpeg"));
    let disposition = "attachment; filename=\"_412213075488489536\"";
    assert_eq!(reply.header("content-disposition"), Some(disposition));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    assert_eq!(&reply.body[..2], b"\xff\xd8");
}

#[tokio::test]
async fn a_scene_sent_as_a_number_comes_back_as_another_with_a_warning() {
    let world = World::held().await;
    let reply = world.post_with_token(B, json!({"scene": 412_213_075_488_489_472_u64})).await;
    let disposition = "attachment; filename=\"_412213075488489536\"";
    assert_eq!(reply.header("content-disposition"), Some(disposition));
    assert!(Seen::of(&reply.body).text().ends_with("scene=412213075488489536"));
    let call = world.pretend.calls().pop().unwrap();
    assert!(call.warnings[0].contains("send a string"), "{:?}", call.warnings);
}

#[tokio::test]
async fn a_see_through_code_is_a_png_without_ground() {
    let world = World::held().await;
    let reply = world.post_with_token(B, json!({"scene": "s", "is_hyaline": true})).await;
    assert_eq!(reply.header("content-type"), Some("image/png"));
    let image = image::load_from_memory(&reply.body).unwrap().to_rgba8();
    assert_eq!(image.get_pixel(0, 0).0[3], 0);
}

#[tokio::test]
async fn lines_take_the_colour_that_was_asked_for_as_numbers_or_as_text() {
    let world = World::held().await;
    let red = LineColor { r: 200, g: 0, b: 0 };
    let code = UnlimitedCode::new(Scene::new("s").unwrap()).line_color(red).is_hyaline(true);
    let by_number = world.client().code_unlimited(&code).await.unwrap();
    let body =
        json!({"scene": "s", "is_hyaline": true, "line_color": {"r": "200", "g": "0", "b": "0"}});
    let by_text = world.post_with_token(B, body).await;
    for bytes in [&by_number.bytes[..], &by_text.body[..]] {
        let image = image::load_from_memory(bytes).unwrap().to_rgba8();
        assert!(image.pixels().any(|pixel| pixel.0 == [200, 0, 0, 255]));
        assert!(!image.pixels().any(|pixel| pixel.0 == [0, 0, 0, 255]));
    }
}

#[tokio::test]
async fn codes_a_and_c_count_together_and_the_same_one_counts_once() {
    let world = World::held().await;
    let client = world.client();
    let a = |path: &str| Code::new(path).unwrap();
    let mut used = Vec::new();
    for code in [a("p?x=1"), a("p?x=1"), a("p?x=2"), a("p?x=1").width(Width::MAX)] {
        used.push(client.code(&code).await.unwrap().used.unwrap());
    }
    assert_eq!(used, [1, 1, 2, 3]);
    assert_eq!(client.qr_code(&QrCode::new("p?x=1").unwrap()).await.unwrap().used, None);
    assert_eq!(client.code(&a("p?x=1")).await.unwrap().used, Some(4));
    let b = UnlimitedCode::new(Scene::new("s").unwrap());
    assert_eq!(client.code_unlimited(&b).await.unwrap().used, None, "B counts for nothing");

    let quota = client.quota();
    assert_eq!((quota.for_ever_asked, quota.for_ever_used), (6, Some(4)));
    assert_eq!(quota.unlimited_last_minute, 1);
}

#[tokio::test]
async fn a_trial_code_opens_the_trial_version() {
    let world = World::held().await;
    let code = UnlimitedCode::new(Scene::new("s").unwrap()).env_version(EnvVersion::Trial);
    let picture = world.client().code_unlimited(&code.check_path(false)).await.unwrap();
    let text = Seen::of(&picture.bytes).text();
    let arrival = world.pretend.phone("alice").open(&text, wechat::pretend::How::Camera).unwrap();
    assert_eq!(arrival.env_version, "trial");
}
