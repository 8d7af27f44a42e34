//! Where phone and browser are: shown, compared, and written down with what was asked and why.

use maxminddb_writer::{Database, paths::IpAddrWithMask};
use serde_json::{Value, json};

use crate::stage::Play;

async fn in_two_provinces() -> (Play, tempfile::TempDir) {
    let mut database = Database::default();
    database.metadata.binary_format_major_version = 2;
    for (network, province, city) in
        [("192.0.2.0/24", "浙江", "杭州"), ("198.51.100.0/24", "广东", "深圳")]
    {
        let named = |name: &str| json!({ "names": { "zh-CN": name } });
        let place = json!({ "country": named("中国"), "subdivisions": [named(province)], "city": named(city) });
        let place = database.insert_value(place).unwrap();
        database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), place);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regions.mmdb");
    std::fs::write(&path, database.write_to(Vec::new()).unwrap()).unwrap();
    (Play::with(&[("SAOMA_REGION_DB", path.to_str().unwrap())]).await, folder)
}

#[tokio::test]
async fn a_browser_in_another_province_raises_the_risk_and_is_named() {
    let (play, _folder) = in_two_provinces().await;
    let browser = play.browser("192.0.2.1");
    let why = |shown: &Value| shown["why"].to_string();

    let (_, scene) = play.page(&browser).await;
    let near = play.phone("ann", "192.0.2.200").scans(&scene, 1047).await.unwrap().shown;
    assert_eq!(
        (&near["browser"]["region"], &near["ask"], &near["risk"]),
        (&json!("浙江杭州"), &json!("tap"), &json!("low"))
    );
    assert!(!why(&near).contains("other_region"));

    let (_, scene) = play.page(&browser).await;
    let far = play.phone("ann", "198.51.100.1").scans(&scene, 1047).await.unwrap().shown;
    assert_eq!((&far["ask"], &far["risk"]), (&json!("match"), &json!("raised")));
    assert!(why(&far).contains("other_region"));

    let (_, scene) = play.page(&browser).await;
    let nowhere = play.phone("ann", "203.0.113.1").scans(&scene, 1047).await.unwrap().shown;
    assert!(!why(&nowhere).contains("other_region"), "what is unknown raises nothing");
}

#[tokio::test]
async fn the_log_says_what_was_asked_of_whom_and_why() {
    let (play, _folder) = in_two_provinces().await;
    let browser = play.browser("192.0.2.1");
    let phone = play.phone("ann", "198.51.100.1");
    let (page, scene) = play.page(&browser).await;
    let body = json!({
        "js_code": phone.logs_in().await.unwrap(), "entry": 1047, "protocol": 1,
        "client": { "version": "1.2.3", "env": "trial", "wechat": "8.0.50", "library": "3.8.12", "platform": "ios" },
    });
    let path = format!("tickets/{scene}/scan");
    let shown =
        phone.calls(reqwest::Method::POST, &path, None, &body).await.unwrap().good().unwrap();
    let number =
        browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json()["match"]
            .clone();
    let approve = format!("tickets/{scene}/approve");
    let yes = json!({ "match": number });
    phone
        .calls(reqwest::Method::POST, &approve, shown["token"].as_str(), &yes)
        .await
        .unwrap()
        .good()
        .unwrap();
    // A second phone comes too late, and that is written down too.
    let (_, other) = play.page(&browser).await;
    phone.scans(&other, 1047).await.unwrap();
    let bob = play.phone("bob", "192.0.2.2");
    assert_eq!(bob.scans(&other, 1047).await.err().unwrap(), "409 taken_by_another_phone");

    let db = rusqlite::Connection::open(play.folder.path().join("saoma.db")).unwrap();
    let mut lines =
        db.prepare("SELECT what, site, address, detail FROM audit ORDER BY id").unwrap();
    let lines: Vec<(String, String, String, Value)> = lines
        .query_map([], |row| {
            let detail: String = row.get(3)?;
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, serde_json::from_str(&detail).unwrap()))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let told: Vec<_> =
        lines.iter().map(|(what, _, address, _)| (what.as_str(), address.as_str())).collect();
    assert_eq!(
        told,
        [
            ("ticket.scanned", "198.51.100.1"),
            ("ticket.approved", "192.0.2.1"),
            ("ticket.scanned", "198.51.100.1"),
            ("scan.refused", "192.0.2.2"),
        ]
    );
    let first = &lines[0].3;
    assert_eq!(
        (&first["ask"], &first["risk"], &first["entry"]),
        (&json!("match"), &json!("raised"), &json!("live"))
    );
    assert!(first["why"].as_array().unwrap().contains(&json!("other_region")));
    assert_eq!(first["program"], body["client"]);
    assert_eq!(first["ticket"], lines[1].3["ticket"], "the lines of one ticket are found together");
    assert_eq!(lines[1].3["browser"]["region"], "浙江杭州");
    assert_eq!(lines[3].3["why"], "taken_by_another_phone");
    let all = serde_json::to_string(&lines).unwrap();
    for secret in [shown["token"].as_str().unwrap(), scene.as_str(), page.ticket.as_str()] {
        assert!(!all.contains(secret), "a name or a token stands in the log");
    }
}
