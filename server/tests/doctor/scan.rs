//! `saoma doctor --scan`, with a pretend phone in place of the real one.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use saoma::try_it::actors::{Phone, read_qr, scene_in};
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
    let asked = anna.scans(&scene, 1047).await.unwrap();
    screen.shows("the page sees: scanned").await;
    anna.approves(&asked).await.unwrap();

    let lines = waiting.await.unwrap().unwrap();
    assert!(lines.last().unwrap().ends_with("the page sees: approved"), "{lines:#?}");
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

    patient.with(|settings| settings.store = "sqlite:/nowhere/none.db".to_owned());
    let refused = patient.doctor().scan(&patient.folder().join("x.png"), Vec::new()).await;
    assert!(refused.unwrap_err().contains("no database yet"));
}
