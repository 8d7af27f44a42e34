//! One whole sign-in, played by itself over real HTTP and WebSocket, each step told with how long it took.

use std::{fmt::Write as _, io::Write};

use serde_json::{Value, json};

use super::{
    Addresses,
    actors::{Browser, Phone, Told, scene_in},
};
use crate::world::{Timestamp, World};

/// Tells the steps as they happen.
struct Teller<'a, W> {
    world: &'a World,
    begun: Timestamp,
    last: Timestamp,
    out: W,
    steps: u32,
}

impl<W: Write> Teller<'_, W> {
    fn tell(&mut self, what: &str) -> Told<()> {
        let now = self.world.now();
        self.steps += 1;
        let mut line = String::new();
        let _ = write!(line, "{:2}. {what} ", self.steps);
        let took = now.since(self.last).as_millis();
        self.last = now;
        writeln!(self.out, "{line:.<72} {took:>4} ms").map_err(|error| error.to_string())
    }
}

/// Plays it, writing to `out`.
///
/// # Errors
/// At the first step that did not truly happen.
pub async fn play(addresses: &Addresses, world: &World, out: impl Write) -> Told<()> {
    let now = world.now();
    let mut teller = Teller { world, begun: now, last: now, out, steps: 0 };
    let browser = Browser::new(&addresses.saoma)?;
    let phone = Phone::of("ann", &addresses.saoma, &addresses.wechat);

    let nobody = browser.goes_to(&format!("{}/me", addresses.demo)).await?;
    expect(nobody.status == 401, "the demo site should know nobody yet")?;
    teller.tell("the demo site knows nobody")?;

    let page = browser.opens(&format!("{}/sign-in", addresses.demo)).await?;
    teller.tell("the browser asks it to sign in, and saoma shows a page")?;

    let text = browser.reads_code(&page).await?;
    let scene = scene_in(&text)?;
    teller.tell("the code on the page is read off its picture")?;

    let mut watch = browser.watches(&page).await?;
    expect(watch.sees_state().await? == "waiting", "the page should be waiting")?;
    teller.tell("the page waits on a WebSocket")?;

    let asked = phone.scans(&scene, 1047).await?;
    expect(asked.shown.get("ask") == Some(&json!("tap")), "an ordinary scan should ask for a tap")?;
    teller.tell("a phone scans it, and is asked: sign in to the demo site?")?;
    expect(watch.sees_state().await? == "scanned", "the page should see the scan")?;
    teller.tell("the page sees that it was scanned")?;

    let early = browser.calls(&page, "claim").await?.problem();
    expect(early == "409 not_decided", "nothing should be claimed before the tap")?;
    phone.approves_with(&asked, &json!({ "scopes": ["profile"] })).await?;
    teller.tell("the person taps, and the decision is on the disk")?;
    expect(watch.sees_state().await? == "approved", "the page should see the tap")?;
    teller.tell("the page sees that it was approved")?;

    let stranger = Browser::new(&addresses.saoma)?.calls(&page, "claim").await?.problem();
    expect(stranger == "404 no_such_ticket", "another browser should claim nothing")?;
    let claimed = browser.calls(&page, "claim").await?.good()?;
    let next =
        claimed.get("redirect_to").and_then(Value::as_str).ok_or("a claim without an address")?;
    teller.tell("this browser, and no other, claims the code and goes back")?;

    let me = browser.goes_to(next).await?;
    expect(
        me.status == 200 && me.url.path() == "/me",
        "the demo site should show who is signed in",
    )?;
    expect(me.text().contains("guest u"), "the demo site should name the person")?;
    teller.tell("the demo site redeems it, checks the id_token, and knows the person")?;

    let again = browser.get(next).await?;
    expect(again.status == 400, "a code should be good once")?;
    teller.tell("the same code a second time is refused")?;

    let total = world.now().since(teller.begun).as_millis();
    writeln!(teller.out, "Signed in, in {total} ms.").map_err(|error| error.to_string())
}

fn expect(held: bool, what: &str) -> Told<()> {
    if held { Ok(()) } else { Err(what.to_owned()) }
}
