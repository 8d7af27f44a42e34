//! Who may sign in: named people, invited ones, and whom the owner says yes to.

use saoma::{
    commands::{person, sites},
    person::{OWNER, Person},
    store::Change,
    try_it::actors::{Asked, Browser, Page, Phone},
};
use serde_json::{Value, json};

use crate::{
    site::Site,
    support::{Saoma, claims, goes_next, param},
};

impl Saoma {
    /// The person of this phone, after a first sign-in somewhere.
    pub(crate) async fn knows(&self, phone: &Phone) -> Person {
        self.signs_in(&self.browser(), &self.site("blog"), phone).await;
        let me = self.me(phone).await;
        self.app.store.person_named(me["username"].as_str().unwrap()).await.unwrap().unwrap()
    }

    /// All that is kept of the person of this phone.
    pub(crate) async fn me(&self, phone: &Phone) -> Value {
        let token = session(phone).await["token"].as_str().unwrap().to_owned();
        phone
            .calls(reqwest::Method::GET, "me", Some(&token), &json!({}))
            .await
            .unwrap()
            .good()
            .unwrap()
    }

    pub(crate) async fn changes(&self, person: &Person, change: Change) {
        let now = self.app.world.now();
        self.app.store.change(&person.id, change, "command", now).await.unwrap().unwrap();
    }

    /// `saoma person ...`; what it prints.
    pub(crate) async fn runs(&self, command: person::Command) -> Result<String, String> {
        person::run(&self.app.settings, &self.app.store, &self.app.world, command).await
    }

    /// A phone that owns this server, by the link that a command printed.
    pub(crate) async fn has_owner(&self) -> Phone {
        let phone = self.phone("the owner");
        let said = self.runs(person::Command::Owner(person::Life::default())).await.unwrap();
        self.opens_link(&said, &phone).await.unwrap();
        phone
    }

    /// Opens a one-time link in a fresh browser, scans and approves, typing the number where one is asked for.
    pub(crate) async fn opens_link(&self, said: &str, phone: &Phone) -> Result<String, String> {
        let (browser, page) = self.begins_link(said).await?;
        let asked = phone.scans(&self.scene(&page.ticket).await, 1047).await?;
        let number =
            browser.get(&format!("/api/tickets/{}", page.ticket)).await?.json()["match"].clone();
        let typed = if number.is_null() { json!({}) } else { json!({ "match": number }) };
        phone.approves_with(&asked, &typed).await?;
        Ok(goes_next(&browser, &page).await)
    }

    /// Opens a one-time link as far as the code to scan.
    pub(crate) async fn begins_link(&self, said: &str) -> Result<(Browser, Page), String> {
        let url = said.lines().next().unwrap();
        let (address, secret) = url.split_once('#').unwrap();
        let browser = self.browser();
        let shown = browser.get(address).await?;
        assert_eq!(shown.status, 200, "{}", shown.text());
        let begun = browser.submits("/link", &[("code", secret)]).await?;
        if begun.status != 303 {
            return Err(format!("{} {}", begun.status.as_u16(), code_on(&begun.text())));
        }
        let page = browser.opens(begun.header("location")).await?;
        Ok((browser, page))
    }
}

/// The code that an error page shows.
fn code_on(page: &str) -> String {
    let code = page.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>"));
    code.map(|(code, _)| code.to_owned()).unwrap_or_default()
}

async fn session(phone: &Phone) -> Value {
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    phone.calls(reqwest::Method::POST, "session", None, &body).await.unwrap().good().unwrap()
}

/// A scan, and what came of the tap.
async fn tries(
    saoma: &Saoma,
    site: &Site,
    phone: &Phone,
) -> (Browser, Page, Asked, Result<(), String>) {
    let browser = saoma.browser();
    let (page, asked) = saoma.scans(&browser, site, phone).await;
    let answered = phone.approves(&asked).await;
    (browser, page, asked, answered)
}

#[tokio::test]
async fn a_stranger_is_told_on_the_phone_on_the_page_and_at_the_site() {
    let saoma = Saoma::starts().await;
    for (id, admission, code, words) in [
        ("family", "closed", "not_admitted", "chosen people"),
        ("party", "closed", "not_admitted", "chosen people"),
        ("study", "ask", "owner_asked", "sign in again once they have said yes"),
    ] {
        let (site, phone) = (saoma.site(id), saoma.phone("a stranger"));
        let (browser, page, asked, answered) = tries(&saoma, &site, &phone).await;
        assert_eq!(asked.shown["admission"], admission, "{id}");
        assert!(asked.shown["say"].as_str().unwrap().contains("owner"), "{}", asked.shown["say"]);
        assert_eq!(answered.unwrap_err(), format!("403 {code}"));
        let again = phone.approves(&asked).await;
        assert_eq!(again.unwrap_err(), format!("403 {code}"), "a lost answer is given again");
        let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
        assert_eq!((&state["state"], &state["reason"]), (&json!("denied"), &json!(code)));
        let next = goes_next(&browser, &page).await;
        assert!(next.starts_with(&site.redirect_uri), "{next}");
        assert_eq!(param(&next, "error"), "access_denied");
        assert!(param(&next, "error_description").contains(words), "{next}");
        assert_eq!((param(&next, "iss"), param(&next, "code")), (saoma.url.clone(), String::new()));
    }
    let attempts = saoma.app.store.audit_since(crate::support::NOW, 99).await.unwrap();
    let count = |word: &str| attempts.iter().filter(|line| line.what == word).count();
    assert_eq!((count("ticket.not_admitted"), count("ticket.owner_asked")), (2, 1));
}

#[tokio::test]
async fn a_person_who_says_no_at_a_closed_door_has_said_no() {
    let saoma = Saoma::starts().await;
    let (study, phone, browser) = (saoma.site("study"), saoma.phone("ann"), saoma.browser());
    let (page, asked) = saoma.scans(&browser, &study, &phone).await;
    phone.denies(&asked).await.unwrap();
    assert_eq!(param(&goes_next(&browser, &page).await, "error_description"), "the person said no");
    assert_eq!(saoma.app.store.askers(9).await.unwrap(), [], "nobody has asked for anything");
}

#[tokio::test]
async fn the_owner_says_yes_on_the_phone_and_the_next_sign_in_works() {
    let saoma = Saoma::starts().await;
    let (study, ann, owner) = (saoma.site("study"), saoma.phone("ann"), saoma.has_owner().await);
    tries(&saoma, &study, &ann).await.3.unwrap_err();
    let (_, _, asked, answered) = tries(&saoma, &study, &ann).await;
    assert_eq!((&asked.shown["admission"], answered.is_err()), (&json!("asked"), true));
    // The stranger's phone shows the name under which the owner sees them.
    let path = format!("tickets/{}/approve", asked.scene);
    let post = reqwest::Method::POST;
    let told = ann.calls(post, &path, Some(&asked.token), &json!({})).await.unwrap().json();
    let name = saoma.me(&ann).await["username"].as_str().unwrap().to_owned();
    assert!(told["detail"].as_str().unwrap().contains(&format!("user name is {name}.")), "{told}");

    // Nobody but an owner hears of it.
    let own = session(&ann).await;
    assert_eq!(own.get("asks"), None);
    let token = own["token"].as_str().unwrap();
    let refused = ann.calls(reqwest::Method::GET, "asks", Some(token), &json!({})).await.unwrap();
    assert_eq!(refused.problem(), "404 not_found");

    let session = session(&owner).await;
    assert_eq!(session["asks"], 1, "asking twice is one wish");
    let token = session["token"].as_str().unwrap();
    let get = reqwest::Method::GET;
    let asks =
        owner.calls(get.clone(), "asks", Some(token), &json!({})).await.unwrap().good().unwrap();
    let ask = &asks["asks"][0];
    assert_eq!(
        ask["site"],
        json!({ "id": "study", "name": "The study", "host": "study.example.com" })
    );
    assert_eq!(ask["browser"]["name"], "Firefox");
    let name = ask["person"]["name"].as_str().unwrap();
    assert_eq!(saoma.me(&ann).await["username"], name);

    let path = format!("asks/{name}/study");
    let post = reqwest::Method::POST;
    for (js_code, why) in
        [(ann.logs_in().await.unwrap(), "another's proof"), ("made up".to_owned(), "none")]
    {
        let body = json!({ "js_code": js_code, "admit": true });
        let refused = owner.calls(post.clone(), &path, Some(token), &body).await.unwrap();
        assert!(refused.status.is_client_error(), "{why}");
    }
    let own = self::session(&ann).await;
    let body = json!({ "js_code": ann.logs_in().await.unwrap(), "admit": true });
    let own = ann.calls(post.clone(), &path, own["token"].as_str(), &body).await.unwrap();
    assert_eq!(own.problem(), "404 not_found", "nobody lets themselves in");
    let (_, _, _, answered) = tries(&saoma, &study, &ann).await;
    assert_eq!(answered.unwrap_err(), "403 owner_asked", "all of that opened nothing");

    let body = json!({ "js_code": owner.logs_in().await.unwrap(), "admit": true });
    let yes = owner.calls(post.clone(), &path, Some(token), &body).await.unwrap();
    assert_eq!(yes.status, 204);
    let body = json!({ "js_code": owner.logs_in().await.unwrap(), "admit": false });
    let late = owner.calls(post, &path, Some(token), &body).await.unwrap();
    assert_eq!(late.problem(), "404 not_found", "it is answered");
    let asks = owner.calls(get, "asks", Some(token), &json!({})).await.unwrap().good().unwrap();
    assert_eq!(asks["asks"], json!([]));

    let (browser, page, asked, answered) = tries(&saoma, &study, &ann).await;
    assert_eq!((&asked.shown["admission"], &asked.shown["say"]), (&json!("open"), &Value::Null));
    answered.unwrap();
    assert!(study.redeems(&claims(&browser, &page).await).await.good().is_ok());
    let lines = saoma.app.store.audit_since(crate::support::NOW, 99).await.unwrap();
    let admitted = lines.iter().find(|line| line.what == "person.admitted").unwrap();
    let by = admitted.detail["by"].as_str().unwrap();
    assert!(saoma.app.store.person(by).await.unwrap().unwrap().is_owner(), "with who said yes");
}

#[tokio::test]
async fn the_owner_says_no_and_is_not_asked_again() {
    let saoma = Saoma::starts().await;
    let (study, ann) = (saoma.site("study"), saoma.phone("ann"));
    tries(&saoma, &study, &ann).await.3.unwrap_err();
    let asking = saoma.runs(person::Command::Asking { json: false }).await.unwrap();
    let scripted = saoma.runs(person::Command::Asking { json: true }).await.unwrap();
    let scripted: serde_json::Value = serde_json::from_str(&scripted).unwrap();
    assert_eq!(scripted[0]["site"], "study", "{scripted}");
    let name = saoma.me(&ann).await["username"].as_str().unwrap().to_owned();
    assert!(asking.contains(&name) && asking.contains("study"), "{asking}");
    let refuse =
        person::Command::Refuse { name: name.clone(), site: "study".to_owned(), undo: false };
    saoma.runs(refuse).await.unwrap();
    let (_, _, asked, answered) = tries(&saoma, &study, &ann).await;
    assert_eq!(asked.shown["admission"], "closed");
    assert_eq!(answered.unwrap_err(), "403 not_admitted");
    assert_eq!(
        saoma.runs(person::Command::Asking { json: false }).await.unwrap(),
        "Nobody waits for an owner's yes."
    );
    let undo = person::Command::Refuse { name, site: "study".to_owned(), undo: true };
    saoma.runs(undo).await.unwrap();
    assert_eq!(tries(&saoma, &study, &ann).await.3.unwrap_err(), "403 owner_asked");
}

#[tokio::test]
async fn a_member_of_its_group_comes_in_to_a_site_of_named_people() {
    let saoma = Saoma::starts().await;
    let (family, ann, owner) = (saoma.site("family"), saoma.phone("ann"), saoma.has_owner().await);
    let person = saoma.knows(&ann).await;
    assert_eq!(tries(&saoma, &family, &ann).await.3.unwrap_err(), "403 not_admitted");
    let join = |group: &str| person::Command::Group {
        name: person.username.clone(),
        join: vec![group.to_owned()],
        leave: Vec::new(),
    };
    saoma.runs(join("friends")).await.unwrap();
    assert_eq!(tries(&saoma, &family, &ann).await.3.unwrap_err(), "403 not_admitted");
    saoma.runs(join("family")).await.unwrap();
    let profile = json!({ "scopes": ["profile"] });
    let tokens = saoma.signs_in_with(&saoma.browser(), &family, &ann, &profile).await;
    let told = family.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap();
    assert_eq!(told["groups"], json!(["family", "friends"]));
    let unticked = saoma.signs_in(&saoma.browser(), &family, &ann).await;
    let told = family.asks_who(unticked["access_token"].as_str().unwrap()).await.good().unwrap();
    assert_eq!(told.get("groups"), None, "what was not ticked is not told");
    assert!(tries(&saoma, &family, &owner).await.3.is_ok(), "an owner comes in everywhere");
    assert!(saoma.runs(join("no such:group")).await.unwrap_err().contains("is no group"));
}

#[tokio::test]
async fn an_invitation_lets_one_person_in_once() {
    let saoma = Saoma::starts().await;
    let (party, ann, bob) = (saoma.site("party"), saoma.phone("ann"), saoma.phone("bob"));
    let (settings, store, world) = (&saoma.app.settings, &saoma.app.store, &saoma.app.world);
    let life = person::Life::default().time;
    let invited = sites::invite(settings, store, world, "party", (2, life)).await.unwrap();
    let links: Vec<_> = invited.lines().filter(|line| line.contains("/link#")).collect();
    assert_eq!(links.len(), 2);

    let (browser, page) = saoma.begins_link(links[0]).await.unwrap();
    let shown = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap();
    assert_eq!(shown.json()["state"], "waiting");
    let asked = ann.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(asked.shown["say"], "You are invited to The party");
    ann.denies(&asked).await.unwrap();
    let next = saoma.opens_link(links[0], &ann).await.unwrap();
    assert_eq!(next, format!("{}/link/let-in?site=party", saoma.url));
    let done = saoma.browser().get(&next).await.unwrap().text();
    assert!(done.contains("You may sign in to The party now"), "{done}");
    assert!(tries(&saoma, &party, &ann).await.3.is_ok());

    assert_eq!(
        saoma.begins_link(links[0]).await.err().unwrap(),
        "410 link_over",
        "it was good once"
    );
    assert_eq!(tries(&saoma, &party, &bob).await.3.unwrap_err(), "403 not_admitted");
    saoma.passes(24 * 3600);
    assert_eq!(saoma.begins_link(links[1]).await.err().unwrap(), "410 link_over", "and for a day");
    for (site, why) in
        [("blog", "lets in everybody"), ("family", "named people alone"), ("nowhere", "no site")]
    {
        let refused = sites::invite(settings, store, world, site, (1, life)).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn who_was_refused_does_not_come_in_with_somebody_elses_invitation() {
    let saoma = Saoma::starts().await;
    let (party, ann, bob) = (saoma.site("party"), saoma.phone("ann"), saoma.phone("bob"));
    let person = saoma.knows(&ann).await;
    saoma.changes(&person, Change::Refuse("party".to_owned())).await;
    let (settings, store, world) = (&saoma.app.settings, &saoma.app.store, &saoma.app.world);
    let life = person::Life::default().time;
    let invited = sites::invite(settings, store, world, "party", (1, life)).await.unwrap();
    let link = invited.lines().find(|line| line.contains("/link#")).unwrap();
    let (browser, page) = saoma.begins_link(link).await.unwrap();
    let asked = ann.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(ann.approves(&asked).await.unwrap_err(), "403 not_admitted");
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    assert_eq!((&state["state"], &state["reason"]), (&json!("denied"), &json!("not_admitted")));
    assert_eq!(tries(&saoma, &party, &ann).await.3.unwrap_err(), "403 not_admitted");
    saoma.opens_link(link, &bob).await.unwrap();
    assert!(tries(&saoma, &party, &bob).await.3.is_ok(), "and it was not used up");
}

#[tokio::test]
async fn of_two_who_have_begun_with_one_link_the_first_to_approve_gets_what_it_gives() {
    let saoma = Saoma::starts().await;
    let said = saoma.runs(person::Command::Owner(person::Life::default())).await.unwrap();
    let (ann, bob) = (saoma.phone("ann"), saoma.phone("bob"));
    let (browser, late) = saoma.begins_link(&said).await.unwrap();
    let asked = bob.scans(&saoma.scene(&late.ticket).await, 1047).await.unwrap();
    assert_eq!(asked.shown["ask"], "match", "what is grave asks for the number");
    saoma.opens_link(&said, &ann).await.unwrap();
    let state = browser.get(&format!("/api/tickets/{}", late.ticket)).await.unwrap().json();
    let typed = json!({ "match": state["match"] });
    assert_eq!(bob.approves_with(&asked, &typed).await.unwrap_err(), "410 link_over");
    saoma.knows(&bob).await;
    let owners =
        saoma::store::Search { group: Some(OWNER.to_owned()), most: 9, ..Default::default() };
    let owners = saoma.app.store.people(&owners).await.unwrap();
    assert_eq!(owners.len(), 1);
    assert_eq!(saoma.me(&ann).await["username"], json!(owners[0].person.username));
}

#[tokio::test]
async fn of_many_phones_that_approve_with_one_link_at_once_the_late_ones_hear_that_it_is_over() {
    let saoma = Saoma::starts().await;
    let said = saoma.runs(person::Command::Owner(person::Life::default())).await.unwrap();
    let mut begun = Vec::new();
    for n in 0..8 {
        let phone = saoma.phone(&format!("phone {n}"));
        let (browser, page) = saoma.begins_link(&said).await.unwrap();
        let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
        let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
        begun.push((phone, asked, json!({ "match": state["match"] })));
    }
    let approves = begun.iter().map(|(phone, asked, typed)| phone.approves_with(asked, typed));
    let answers = futures_util::future::join_all(approves).await;
    let late: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(late, ["410 link_over"; 7], "nothing is wrong with the server");
}

#[tokio::test]
async fn a_link_is_nothing_without_its_secret_and_stands_in_no_address() {
    let saoma = Saoma::starts().await;
    let said = saoma.runs(person::Command::Owner(person::Life::default())).await.unwrap();
    let secret = said.lines().next().unwrap().split_once('#').unwrap().1.to_owned();
    let browser = saoma.browser();
    for wrong in ["", "x", &secret[1..], "a made-up secret of some length, wrong all the same"] {
        let refused = browser.submits("/link", &[("code", wrong)]).await.unwrap();
        assert_eq!(refused.status, 410, "{wrong}");
    }
    let stranger = saoma.http.post(format!("{}/link", saoma.url)).form(&[("code", &secret)]);
    let stranger = stranger.header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(stranger.status(), 403, "no other page posts it");
    let begun = browser
        .submits("/link", &[("code", &format!(" {}/link#{secret} ", saoma.url))])
        .await
        .unwrap();
    assert_eq!(begun.status, 303, "a whole address may be pasted");
    assert!(!begun.header("location").contains(&secret));
    assert_eq!(browser.get("/link/scan?kept=made-up").await.unwrap().status, 410);
    let other = saoma.browser();
    other.opens(&saoma.site("blog").asks()).await.unwrap();
    for (reader, what) in [(saoma.browser(), "without a cookie"), (other, "with another one")] {
        let seen = reader.get(begun.header("location")).await.unwrap();
        assert_eq!(seen.status, 410, "an address that was seen is nothing {what}");
    }
    assert_eq!(browser.get(begun.header("location")).await.unwrap().status, 200);
    saoma.passes(600);
    assert_eq!(
        browser.get(begun.header("location")).await.unwrap().status,
        410,
        "ten minutes to scan"
    );
}

#[tokio::test]
async fn a_remembered_browser_meets_a_door_that_has_been_shut() {
    let saoma = Saoma::starts().await;
    let (chat, forum, ann, browser) =
        (saoma.site("chat"), saoma.site("forum"), saoma.phone("ann"), saoma.browser());
    let approval = json!({ "remember": true, "scopes": ["profile", "wechat", "offline_access"] });
    saoma.signs_in_with(&browser, &forum, &ann, &approval).await;
    assert_eq!(browser.get(&chat.asks()).await.unwrap().status, 303, "one of the group");
    let name = saoma.me(&ann).await["username"].as_str().unwrap().to_owned();
    let refuse = person::Command::Refuse { name, site: "chat".to_owned(), undo: false };
    saoma.runs(refuse).await.unwrap();
    assert!(
        browser.opens(&chat.asks()).await.is_ok(),
        "the code is shown, and the phone will say why"
    );
    assert_eq!(browser.get(&forum.asks()).await.unwrap().status, 303, "the other goes on");
}

#[tokio::test]
async fn who_is_let_in_no_more_gets_no_fresh_tokens() {
    let saoma = Saoma::starts().await;
    let (family, ann) = (saoma.site("family"), saoma.phone("ann"));
    let person = saoma.knows(&ann).await;
    saoma.changes(&person, Change::Join("family".to_owned())).await;
    let page = saoma.browser();
    let opened =
        page.opens(&family.asks_with(&[("scope", "openid offline_access")])).await.unwrap();
    let asked = ann.scans(&saoma.scene(&opened.ticket).await, 1047).await.unwrap();
    ann.approves_with(&asked, &json!({ "scopes": ["offline_access"] })).await.unwrap();
    let tokens = family.redeems(&claims(&page, &opened).await).await.good().unwrap();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    saoma.changes(&person, Change::Leave("family".to_owned())).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("code", ""),
        ("redirect_uri", ""),
        ("code_verifier", ""),
    ];
    let refused = family.redeems_with("", &form).await;
    assert_eq!(refused.problem(), "400 invalid_grant");
    saoma.changes(&person, Change::Join("family".to_owned())).await;
    assert!(family.redeems_with("", &form).await.good().is_ok(), "nothing was used up");
}
