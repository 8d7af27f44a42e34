//! Whether a server that runs by these settings is alive.

use std::time::Duration;

use serde_json::json;

use crate::config::{self, Settings};

/// What a server answered, and where it was asked.
#[derive(Debug)]
pub struct Health {
    url: String,
    answer: Result<(), String>,
}

/// Asks it: where it listens, or, if that is for https alone, where operators reach it.
pub async fn ask(settings: &Settings) -> Health {
    let address = match settings.ends_tls() {
        true => settings.admin_address(),
        false => config::from_here(settings.listen),
    };
    let url = format!("http://{address}/healthz");
    let answer = get(&url).await;
    Health { url, answer }
}

async fn get(url: &str) -> Result<(), String> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().build();
    match client.map_err(|error| error.to_string())?.get(url).send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("{url} answers {}", answer.status())),
        Err(error) => Err(format!("{url} does not answer: {error}")),
    }
}

impl Health {
    /// For scripts.
    pub fn json(&self) -> String {
        let why = self.answer.as_ref().err();
        json!({ "alive": why.is_none(), "url": self.url, "why": why }).to_string()
    }

    /// Whether it is alive.
    ///
    /// # Errors
    /// Why not.
    pub fn alive(self) -> Result<(), String> {
        self.answer
    }
}
