//! One real phone, watched through a whole sign-in: how doubts about WeChat are settled.
//!
//! The doctor opens the hosted page at the public URL like any browser, and reads what the server writes into its audit log
//! about the scan. It signs nobody in anywhere: the sign-in is to saoma itself, and is not claimed.

use std::{io::Write, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    audit,
    secret::Hashed,
    store::SharedStore,
    try_it::actors::{Browser, Page},
    world::{Timestamp, World},
};

/// How long the whole may take: the ticket's two lives, and a little.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is waited for between two looks at the audit log.
const AGAIN: Duration = Duration::from_millis(500);

/// Waits for a phone, writes each stage as it comes, and returns the lines.
///
/// # Errors
/// If no page with a code can be had, or nobody decides in time.
pub async fn wait(
    public_url: &str,
    store: &SharedStore,
    world: &World,
    picture: &Path,
    mut out: impl Write,
) -> Result<Vec<String>, String> {
    let began = world.now();
    let browser =
        Browser::calling_itself(public_url, concat!("saoma-doctor/", env!("CARGO_PKG_VERSION")))?;
    let page = browser.opens(&format!("{public_url}/login")).await?;
    let ticket = Hashed::of(&page.ticket);
    let mut told = Told { lines: Vec::new(), began };
    show(&browser, &page, picture, &mut out).await?;

    let mut seen = Vec::new();
    let mut last = String::new();
    let end = began + PATIENCE;
    loop {
        let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await?;
        let state = state.json().get("state").and_then(Value::as_str).unwrap_or("gone").to_owned();
        let lines = store.audit_since(began, 1_000).await.map_err(|error| error.to_string())?;
        let ours = lines.into_iter().filter(|line| is_of(line, ticket)).collect::<Vec<_>>();
        let fresh = ours.iter().skip(seen.len()).map(describe).collect::<Vec<_>>();
        seen = ours;
        for line in fresh {
            told.say(&line, world.now(), &mut out)?;
        }
        if state != last {
            told.say(&format!("the page sees: {state}"), world.now(), &mut out)?;
            last.clone_from(&state);
        }
        match state.as_str() {
            "approved" | "denied" => return Ok(told.lines),
            "expired" | "gone" => {
                return Err(
                    "nobody decided in time; run it again when the phone is at hand".to_owned()
                );
            }
            _ if world.now() >= end => return Err("nobody decided in time".to_owned()),
            _ => world.sleep_until(world.now() + AGAIN).await,
        }
    }
}

struct Told {
    lines: Vec<String>,
    began: Timestamp,
}

impl Told {
    fn say(&mut self, line: &str, now: Timestamp, out: &mut impl Write) -> Result<(), String> {
        let after = now.since(self.began).as_millis();
        let line = format!("{:>4}.{} s  {line}", after / 1000, after % 1000 / 100);
        writeln!(out, "{line}").map_err(|error| error.to_string())?;
        self.lines.push(line);
        Ok(())
    }
}

/// Puts the code where a phone can see it, and the digits beside it.
async fn show(
    browser: &Browser,
    page: &Page,
    picture: &Path,
    out: &mut impl Write,
) -> Result<(), String> {
    let code = browser.get(&format!("/api/tickets/{}/code", page.ticket)).await?;
    let png = image::load_from_memory(&code.body)
        .map_err(|error| format!("the code is no picture: {error}"))?;
    png.save_with_format(picture, image::ImageFormat::Png)
        .map_err(|error| format!("cannot write {}: {error}", picture.display()))?;
    let digits = browser.calls(page, "digits").await?.good()?;
    let digits = digits.get("digits").and_then(Value::as_str).unwrap_or_default();
    writeln!(
        out,
        "Scan the code in {} with WeChat (open it on another screen), within two minutes.\nOr open the mini program and type {digits}.\n",
        picture.display()
    )
    .map_err(|error| error.to_string())
}

fn is_of(line: &audit::Entry, ticket: Hashed) -> bool {
    line.detail.get("ticket") == Some(&json!(format!("{ticket:?}")))
}

/// A line of the audit log in words: what happened, and every word that the phone said of itself.
fn describe(line: &audit::Entry) -> String {
    let mut words = Vec::new();
    flatten("", &line.detail, &mut words);
    let address = line.address.as_deref().unwrap_or("unknown");
    format!("{} from {address}: {}", line.what, words.join(", "))
}

fn flatten(name: &str, value: &Value, words: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields.iter().filter(|(field, _)| *field != "ticket") {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, words);
            }
        }
        Value::Null => {}
        Value::Array(list) => {
            let list: Vec<_> = list
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
                .collect();
            words.push(format!(
                "{name} {}",
                if list.is_empty() { "none".to_owned() } else { list.join(" ") }
            ));
        }
        Value::String(text) => words.push(format!("{name} {text}")),
        other => words.push(format!("{name} {other}")),
    }
}
