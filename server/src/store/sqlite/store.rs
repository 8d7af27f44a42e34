//! Which piece of SQL answers which call of the trait.

use async_trait::async_trait;
use rusqlite::params;

use super::{Sqlite, account, admissions, keys, logins, operator, people, rows, sites};
use crate::{
    admission::Word,
    audit,
    links::Link,
    person::{Identity, Person},
    secret::Hashed,
    site::Site,
    store::{
        Acquaintance, Asker, Change, Changed, Consent, Decide, Decided, Error, Listed, LiveToken,
        Login, Logout, Profile, Redemption, Revoke, Said, Search, Store, StoredKey, Token,
    },
    tickets::Parked,
    world::Timestamp,
};

#[async_trait]
impl Store for Sqlite {
    async fn decide(&self, decide: Decide) -> Result<Decided, Error> {
        self.write(move |db| logins::decide(db, &decide)).await
    }

    async fn decision_by_ticket(&self, ticket: Hashed) -> Result<Option<Decided>, Error> {
        self.look(|db| rows::decided(db, "ticket", ticket.as_bytes()))
    }

    async fn decision_by_scene(&self, scene: &str) -> Result<Option<Decided>, Error> {
        self.look(|db| rows::decided(db, "scene", scene))
    }

    async fn decision_by_code(&self, code: Hashed) -> Result<Option<Decided>, Error> {
        self.look(|db| logins::by_code(db, code))
    }

    async fn redeem(
        &self,
        code: Hashed,
        tokens: Vec<Token>,
        now: Timestamp,
    ) -> Result<Redemption, Error> {
        self.write(move |db| logins::redeem(db, code, &tokens, now)).await
    }

    async fn rotate(&self, old: Hashed, given: Vec<Token>, now: Timestamp) -> Result<bool, Error> {
        self.write(move |db| logins::rotate(db, old, &given, now)).await
    }

    async fn revoke(&self, what: Revoke) -> Result<(), Error> {
        self.write(move |db| logins::revoke(db, what)).await
    }

    async fn live_token(&self, hash: Hashed, now: Timestamp) -> Result<Option<LiveToken>, Error> {
        self.look(|db| logins::live_token(db, hash, now))
    }

    async fn person_of(&self, identity: &Identity) -> Result<Option<Person>, Error> {
        self.look(|db| people::of(db, identity))
    }

    async fn person(&self, id: &str) -> Result<Option<Person>, Error> {
        self.look(|db| people::by_id(db, id))
    }

    async fn acquaintance(
        &self,
        person: &str,
        browser: Option<Hashed>,
        site: &str,
    ) -> Result<Acquaintance, Error> {
        self.look(|db| people::acquaintance(db, person, browser, site))
    }

    async fn login(&self, id: &str) -> Result<Option<Login>, Error> {
        self.look(|db| logins::living(db, id))
    }

    async fn logins(&self, person: &str) -> Result<Vec<Login>, Error> {
        let person = person.to_owned();
        self.read(move |db| logins::of_person(db, &person)).await
    }

    async fn end_login(
        &self,
        person: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<Login>, Error> {
        let (person, login) = (person.to_owned(), login.to_owned());
        let ended = self.write(move |db| {
            logins::end(db, "l.id = ?1 AND l.person = ?2", params![login, person], now)
        });
        Ok(ended.await?.pop())
    }

    async fn session(&self, session: Hashed, now: Timestamp) -> Result<Vec<Login>, Error> {
        self.look(|db| logins::of_session(db, session, now))
    }

    async fn end_session(&self, session: Hashed, now: Timestamp) -> Result<Vec<Login>, Error> {
        self.write(move |db| logins::end(db, "l.session = ?1", params![session.as_bytes()], now))
            .await
    }

    async fn open_phone(
        &self,
        token: Hashed,
        identity: &Identity,
        expires: Timestamp,
    ) -> Result<(), Error> {
        let identity = identity.clone();
        self.write(move |db| logins::open_phone(db, token, &identity, expires)).await
    }

    async fn phone(&self, token: Hashed, now: Timestamp) -> Result<Option<Identity>, Error> {
        self.look(|db| logins::phone(db, token, now))
    }

    async fn set_profile(&self, person: &str, profile: Profile) -> Result<Option<Person>, Error> {
        let person = person.to_owned();
        self.write(move |db| people::set_profile(db, &person, &profile)).await
    }

    async fn avatar(&self, username: &str) -> Result<Option<(String, Vec<u8>)>, Error> {
        let username = username.to_owned();
        self.read(move |db| people::avatar(db, &username)).await
    }

    async fn forget(&self, person: &str, now: Timestamp) -> Result<Vec<Login>, Error> {
        let person = person.to_owned();
        self.write(move |db| {
            let ended = logins::end(db, "l.person = ?1", params![person], now)?;
            people::forget(db, &person)?;
            Ok(ended)
        })
        .await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, Error> {
        self.read(keys::all_keys).await
    }

    async fn put_key(&self, key: StoredKey) -> Result<(), Error> {
        self.write(move |db| keys::put(db, &key)).await
    }

    async fn drop_key(&self, kid: &str) -> Result<(), Error> {
        let kid = kid.to_owned();
        self.write(move |db| keys::forget(db, &kid)).await
    }

    async fn revision(&self) -> Result<i64, Error> {
        self.look(keys::revision)
    }

    async fn sites(&self) -> Result<Vec<Site>, Error> {
        self.read(sites::every).await
    }

    async fn put_site(&self, site: &Site) -> Result<(), Error> {
        let site = site.clone();
        self.write(move |db| sites::put(db, &site)).await
    }

    async fn remove_site(&self, id: &str, now: Timestamp) -> Result<bool, Error> {
        let id = id.to_owned();
        self.write(move |db| sites::remove(db, &id, now)).await
    }

    async fn take_logouts(&self, now: Timestamp, again: Timestamp) -> Result<Vec<Logout>, Error> {
        self.write(move |db| sites::take_logouts(db, now, again)).await
    }

    async fn settle_logout(&self, id: i64, again: Option<Timestamp>) -> Result<(), Error> {
        self.write(move |db| sites::settle_logout(db, id, again)).await
    }

    async fn server_secret(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, Error> {
        let name = name.to_owned();
        self.write(move |db| keys::server_secret(db, &name, &fresh)).await
    }

    async fn audit(&self, entry: audit::Entry) -> Result<(), Error> {
        self.write(move |db| logins::write_audit(db, &entry)).await
    }

    async fn audit_since(&self, since: Timestamp, most: u32) -> Result<Vec<audit::Entry>, Error> {
        self.read(move |db| account::audit_since(db, since, most)).await
    }

    async fn appids(&self) -> Result<Vec<String>, Error> {
        self.read(people::appids).await
    }

    async fn park(&self, tickets: Vec<Parked>) -> Result<(), Error> {
        self.write(move |db| logins::park(db, &tickets)).await
    }

    async fn unpark(&self) -> Result<Vec<Parked>, Error> {
        self.write(logins::unpark).await
    }

    async fn prune(&self, now: Timestamp) -> Result<(), Error> {
        self.write(move |db| logins::prune(db, now)).await
    }

    async fn end_browser(
        &self,
        person: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error> {
        let (person, login) = (person.to_owned(), login.to_owned());
        self.write(move |db| account::end_browser(db, &person, &login, now)).await
    }

    async fn end_all(
        &self,
        person: &str,
        phone: Hashed,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error> {
        let person = person.to_owned();
        self.write(move |db| account::end_all(db, &person, phone, now)).await
    }

    async fn close_phone(&self, token: Hashed) -> Result<(), Error> {
        self.write(move |db| {
            db.execute("DELETE FROM phones WHERE token = ?1", [token.as_bytes()])?;
            Ok(())
        })
        .await
    }

    async fn audit_of(&self, person: &str, most: u32) -> Result<Vec<(i64, audit::Entry)>, Error> {
        let person = person.to_owned();
        self.read(move |db| account::audit_of(db, &person, most)).await
    }

    async fn consents(&self, person: &str) -> Result<Vec<Consent>, Error> {
        let person = person.to_owned();
        self.read(move |db| account::consents(db, &person)).await
    }

    async fn withdraw(
        &self,
        person: &str,
        site: &str,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error> {
        let (person, site) = (person.to_owned(), site.to_owned());
        self.write(move |db| account::withdraw(db, &person, &site, now)).await
    }

    async fn identities(&self, person: &str) -> Result<Vec<Identity>, Error> {
        let person = person.to_owned();
        self.read(move |db| account::identities(db, &person)).await
    }

    async fn subs(&self, person: &str) -> Result<Vec<(String, String)>, Error> {
        let person = person.to_owned();
        self.read(move |db| account::subs(db, &person)).await
    }

    async fn age(&self, network: Timestamp, audit: Timestamp) -> Result<(), Error> {
        self.write(move |db| account::age(db, network, audit)).await
    }

    async fn person_named(&self, name: &str) -> Result<Option<Person>, Error> {
        let name = name.to_owned();
        self.read(move |db| operator::named(db, &name)).await
    }

    async fn people(&self, search: &Search) -> Result<Vec<Listed>, Error> {
        let search = search.clone();
        self.read(move |db| operator::search(db, &search)).await
    }

    async fn change(
        &self,
        person: &str,
        change: Change,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Changed>, Error> {
        let (person, by) = (person.to_owned(), by.to_owned());
        self.write(move |db| operator::change(db, &person, &change, &by, now)).await
    }

    async fn word(&self, person: &str, site: &str) -> Result<Option<Word>, Error> {
        let (person, site) = (person.to_owned(), site.to_owned());
        self.read(move |db| admissions::word(db, &person, &site)).await
    }

    async fn said(&self, person: &str) -> Result<Vec<Said>, Error> {
        let person = person.to_owned();
        self.read(move |db| admissions::said(db, &person)).await
    }

    async fn askers(&self, most: u32) -> Result<Vec<Asker>, Error> {
        self.read(move |db| admissions::askers(db, most)).await
    }

    async fn put_link(&self, link: Link, now: Timestamp) -> Result<(), Error> {
        self.write(move |db| admissions::put_link(db, &link, now)).await
    }

    async fn link(&self, hash: Hashed, now: Timestamp) -> Result<Option<Link>, Error> {
        self.read(move |db| admissions::link(db, hash, now)).await
    }

    async fn merge(
        &self,
        stays: &str,
        goes: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (stays, goes, by) = (stays.to_owned(), goes.to_owned(), by.to_owned());
        self.write(move |db| operator::merge(db, &stays, &goes, &by, now)).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.read(|db| Ok(db.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }
}
