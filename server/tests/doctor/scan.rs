//! `saoma doctor --scan`, with a pretend phone in place of the real one.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use saoma::try_it::actors::{Phone, read_qr, scene_in};
use serde_json::json;
use tokio::sync::Notify;

use crate::stage::Patient;

/// A terminal that somebody reads along.
#[derive(Clone, Default)]
struct Screen {
    text: Arc<Mutex<String>>,
    more: Arc<Notify>,
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
        self.more.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    async fn shows(&self, text: &str) {
        while !self.text.lock().unwrap().contains(text) {
            self.more.notified().await;
        }
    }
}

#[tokio::test]
async fn each_stage_of_a_phones_sign_in_is_printed() {
    let patient = Patient::healthy().await;
    let picture = patient.folder().join("scan.png");
    let (doctor, screen) = (patient.doctor(), Screen::default());
    let (path, out) = (picture.clone(), screen.clone());
    let waiting = tokio::spawn(async move { doctor.scan(&path, out).await });

    screen.shows("the page sees: waiting").await;
    let scene = scene_in(&read_qr(&std::fs::read(&picture).unwrap()).unwrap()).unwrap();
    let anna = Phone::of("anna", &patient.settings.public_url, &patient.wechat);
    let client = json!({ "version": "1.2.0", "env": "trial", "wechat": "8.0.60", "library": "3.8.12", "platform": "ohos" });
    let body = json!({ "js_code": anna.logs_in().await.unwrap(), "entry": 1047, "protocol": 1, "client": client });
    let path = format!("tickets/{scene}/scan");
    let shown =
        anna.calls(reqwest::Method::POST, &path, None, &body).await.unwrap().good().unwrap();
    screen.shows("the page sees: scanned").await;
    let path = format!("tickets/{scene}/approve");
    let approved =
        anna.calls(reqwest::Method::POST, &path, shown["token"].as_str(), &json!({})).await;
    approved.unwrap().good().unwrap();

    let lines = waiting.await.unwrap().unwrap();
    assert!(lines.last().unwrap().ends_with("the page sees: approved"), "{lines:#?}");
    let scanned = lines.iter().find(|line| line.contains("ticket.scanned")).unwrap();
    for told in [
        "from 127.0.0.1",
        "entry live",
        "number 1047",
        "program.version 1.2.0",
        "program.env trial",
        "program.wechat 8.0.60",
        "program.library 3.8.12",
        "program.platform ohos",
        "same_network true",
        "ask tap",
    ] {
        assert!(scanned.contains(told), "{told} is missing in {scanned}");
    }
    assert!(lines.iter().any(|line| line.contains("ticket.approved")), "{lines:#?}");
    let text = screen.text.lock().unwrap().clone();
    assert!(text.contains("within two minutes") && text.contains("type "), "{text}");
}

#[tokio::test]
async fn a_refusal_is_an_answer_too_and_without_a_database_there_is_nothing_to_read() {
    let mut patient = Patient::healthy().await;
    let (doctor, screen) = (patient.doctor(), Screen::default());
    let (path, out) = (patient.folder().join("scan.png"), screen.clone());
    let waiting = tokio::spawn(async move { doctor.scan(&path, out).await });
    screen.shows("the page sees: waiting").await;
    let text = screen.text.lock().unwrap().clone();
    let digits = text.split("type ").nth(1).unwrap().split('.').next().unwrap().to_owned();
    let anna = Phone::of("anna", &patient.settings.public_url, &patient.wechat);
    let asked = anna.types(&digits).await.unwrap();
    anna.denies(&asked).await.unwrap();
    let lines = waiting.await.unwrap().unwrap();
    assert!(lines.last().unwrap().ends_with("the page sees: denied"), "{lines:#?}");

    patient.with(|settings| settings.store = "sqlite:/nowhere/none.db".to_owned().into());
    let refused = patient.doctor().scan(&patient.folder().join("x.png"), Vec::new()).await;
    assert!(refused.unwrap_err().contains("no database yet"));
}
