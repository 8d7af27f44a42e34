//! People as scripts read them: moments are seconds since the Unix epoch.

use serde_json::{Value, json};

use crate::{
    audit,
    person::{Identity, Person},
    store::{Asker, Listed, Login, Said},
    world::Timestamp,
};

fn person(person: &Person) -> Value {
    json!({
        "username": person.username,
        "id": person.id,
        "nickname": person.nickname,
        "since": person.since.seconds(),
        "blocked": person.blocked,
        "groups": person.groups,
    })
}

/// A person with more of them.
fn with(who: &Person, more: Value) -> Value {
    let mut row = person(who);
    if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
        row.extend(more);
    }
    row
}

fn written(value: &Value) -> String {
    format!("{value:#}")
}

/// `saoma person list`.
pub(super) fn listed(found: &[Listed]) -> String {
    let row = |listed: &Listed| {
        let seen = listed.last_seen.map(Timestamp::seconds);
        with(&listed.person, json!({ "last_seen": seen, "logins": listed.logins }))
    };
    written(&found.iter().map(row).collect())
}

/// `saoma person asking`.
pub(super) fn asking(found: &[Asker]) -> String {
    let row = |ask: &Asker| {
        let browser = ask.browser.as_ref();
        let browser = browser.map(|it| json!({ "name": it.name, "os": it.os }));
        with(&ask.person, json!({ "site": ask.site, "at": ask.at.seconds(), "browser": browser }))
    };
    written(&found.iter().map(row).collect())
}

/// `saoma person show`.
pub(super) fn shown(
    who: &Person,
    identities: &[Identity],
    said: &[Said],
    logins: &[Login],
    log: &[(i64, audit::Entry)],
) -> String {
    let identity =
        |it: &Identity| json!({ "appid": it.appid, "has_unionid": it.unionid.is_some() });
    let word =
        |it: &Said| json!({ "site": it.site, "word": it.word.as_str(), "at": it.at.seconds() });
    let login = |it: &Login| {
        json!({
            "site": it.site,
            "since": it.since.seconds(),
            "last_seen": it.last_seen.seconds(),
            "browser": { "name": it.browser.name, "os": it.browser.os },
        })
    };
    let line = |(_, it): &(i64, audit::Entry)| json!({ "at": it.at.seconds(), "what": it.what, "site": it.site });
    written(&with(
        who,
        json!({
            "identities": identities.iter().map(identity).collect::<Value>(),
            "said": said.iter().map(word).collect::<Value>(),
            "logins": logins.iter().map(login).collect::<Value>(),
            "log": log.iter().map(line).collect::<Value>(),
        }),
    ))
}
