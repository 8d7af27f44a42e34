//! Which piece of SQL answers which call of the trait.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Database, account, admissions, aging,
    aging::{Old, Over},
    audit_log, console, counts, decisions, import, keys, logins, operator, parked, people, phones,
    rows, sites, tokens,
};
use crate::{
    admission::Word,
    audit,
    counts::Count,
    links::Link,
    metrics::Times,
    person::{Identity, Person},
    secret::Hashed,
    site::Site,
    store::{
        Arrival, Asker, AtCommit, BrowserSession, Change, Changed, Consent, ConsoleLink,
        ConsoleSession, Counted, Decide, Decided, Error, Import, Imported, Lines, Listed,
        LiveToken, Login, Logout, Opens, Operator, Profile, Redemption, Revoke, Said, Seal, Search,
        Shadow, Store, StoredKey, Token,
    },
    tickets::Parked,
    world::Timestamp,
};

/// A piece of work as a database runs it: it owns what it needs, and waits for the database alone.
macro_rules! with {
    ($db:ident => $work:expr) => {
        move |$db| Box::pin(async move { $work.await })
    };
}

/// Does to all of these what is due, some at a time.
async fn grows_old(store: &impl Database, old: Old, before: Timestamp) -> Result<(), Error> {
    loop {
        let found = store.read(with!(db => old.find(db, before))).await?;
        if found.is_empty() {
            return Ok(());
        }
        store.write(with!(db => old.change(db, &found))).await?;
    }
}

/// Forgets all of these that are over, some at a time.
async fn ends(store: &impl Database, over: Over, now: Timestamp) -> Result<(), Error> {
    while store.write_one(with!(db => over.forget_some(db, now))).await? {}
    Ok(())
}

#[async_trait]
impl<D: Database> Store for D {
    async fn decide(&self, decide: Decide, at_commit: AtCommit) -> Result<Decided, Error> {
        self.commit(with!(db => decisions::decide(db, &decide)), at_commit).await
    }

    async fn decision_by_ticket(&self, ticket: Hashed) -> Result<Option<Decided>, Error> {
        self.look(with!(db => rows::decided(db, "ticket", ticket))).await
    }

    async fn decision_by_scene(&self, scene: &str) -> Result<Option<Decided>, Error> {
        let scene = scene.to_owned();
        self.look(with!(db => rows::decided(db, "scene", scene))).await
    }

    async fn decision_by_code(&self, code: Hashed) -> Result<Option<Decided>, Error> {
        self.look(with!(db => decisions::by_code(db, code))).await
    }

    async fn redeem(
        &self,
        code: Hashed,
        tokens: Vec<Token>,
        now: Timestamp,
    ) -> Result<Redemption, Error> {
        self.write(with!(db => tokens::redeem(db, code, &tokens, now))).await
    }

    async fn rotate(&self, old: Hashed, given: Vec<Token>, now: Timestamp) -> Result<bool, Error> {
        self.write(with!(db => tokens::rotate(db, old, &given, now))).await
    }

    async fn revoke(&self, what: Revoke) -> Result<(), Error> {
        self.write(with!(db => tokens::revoke(db, what))).await
    }

    async fn live_token(&self, hash: Hashed, now: Timestamp) -> Result<Option<LiveToken>, Error> {
        self.look(with!(db => tokens::live_token(db, hash, now))).await
    }

    async fn person_of(&self, identity: &Identity) -> Result<Option<Person>, Error> {
        let identity = identity.clone();
        self.look(with!(db => people::of(db, &identity))).await
    }

    async fn person(&self, id: &str) -> Result<Option<Person>, Error> {
        let id = id.to_owned();
        self.look(with!(db => people::by_id(db, &id))).await
    }

    async fn arrival(
        &self,
        identity: &Identity,
        shade: &Identity,
        site: &str,
        browser: Option<Hashed>,
    ) -> Result<Option<Arrival>, Error> {
        let look = || {
            let (identity, shade, site) = (identity.clone(), shade.clone(), site.to_owned());
            self.look(with!(db => people::arrival(db, &identity, &shade, &site, browser)))
        };
        let (is_shaded, arrival) = look().await?;
        if !is_shaded {
            return Ok(arrival);
        }
        let (identity, shade) = (identity.clone(), shade.clone());
        self.write(with!(db => people::meet(db, &identity, &shade))).await?;
        Ok(look().await?.1)
    }

    async fn login(&self, id: &str) -> Result<Option<Login>, Error> {
        let id = id.to_owned();
        self.look(with!(db => logins::living(db, &id))).await
    }

    async fn login_seen(&self, id: &str, now: Timestamp) -> Result<(), Error> {
        let id = id.to_owned();
        self.write_one(with!(db => logins::seen(db, &id, now))).await
    }

    async fn logins(&self, person: &str) -> Result<Vec<Login>, Error> {
        let person = person.to_owned();
        self.read(with!(db => logins::of_person(db, &person))).await
    }

    async fn end_login(
        &self,
        person: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<Login>, Error> {
        let (person, login) = (person.to_owned(), login.to_owned());
        self.write(with!(db => logins::end_one(db, &person, &login, now))).await
    }

    async fn has_ended(&self, person: &str, login: &str) -> Result<bool, Error> {
        let (person, login) = (person.to_owned(), login.to_owned());
        self.look(with!(db => logins::has_ended(db, &person, &login))).await
    }

    async fn session(&self, session: BrowserSession, now: Timestamp) -> Result<Vec<Login>, Error> {
        self.look(with!(db => logins::of_session(db, session, now))).await
    }

    async fn skipped(
        &self,
        session: Hashed,
        person: &str,
        site: &str,
    ) -> Result<Vec<Login>, Error> {
        let (person, site) = (person.to_owned(), site.to_owned());
        self.look(with!(db => logins::skipped(db, session, &person, &site))).await
    }

    async fn ends_with(&self, session: BrowserSession) -> Result<Vec<Login>, Error> {
        self.look(with!(db => logins::ends_with(db, session))).await
    }

    async fn end_session(
        &self,
        session: BrowserSession,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error> {
        self.write(with!(db => logins::end_session(db, session, now))).await
    }

    async fn open_phone(
        &self,
        token: Hashed,
        identity: &Identity,
        expires: Timestamp,
    ) -> Result<(), Error> {
        let identity = identity.clone();
        self.write(with!(db => phones::open(db, token, &identity, expires))).await
    }

    async fn phone(&self, token: Hashed, now: Timestamp) -> Result<Option<Identity>, Error> {
        self.look(with!(db => phones::of(db, token, now))).await
    }

    async fn set_profile(&self, person: &str, profile: Profile) -> Result<Option<Person>, Error> {
        let person = person.to_owned();
        self.write(with!(db => people::set_profile(db, &person, &profile))).await
    }

    async fn avatar(&self, username: &str) -> Result<Option<(String, Vec<u8>)>, Error> {
        let username = username.to_owned();
        self.read(with!(db => people::avatar(db, &username))).await
    }

    async fn forget(
        &self,
        person: &str,
        shadow: Shadow,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error> {
        let (person, by) = (person.to_owned(), by.map(ToOwned::to_owned));
        self.write(with!(db => people::forget(db, &person, &shadow, by.as_deref(), now))).await
    }

    async fn meet(&self, identity: &Identity, shade: &Identity) -> Result<(), Error> {
        let (identity, shade) = (identity.clone(), shade.clone());
        let asked = shade.clone();
        // Nearly nobody has one, and who writes waits for others.
        if self.look(with!(db => people::of(db, &asked))).await?.is_none() {
            return Ok(());
        }
        self.write(with!(db => people::meet(db, &identity, &shade))).await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, Error> {
        self.read(with!(db => keys::all_keys(db))).await
    }

    async fn put_key(&self, key: StoredKey) -> Result<(), Error> {
        self.write(with!(db => keys::put(db, &key))).await
    }

    async fn drop_key(&self, kid: &str) -> Result<(), Error> {
        let kid = kid.to_owned();
        self.write(with!(db => keys::forget(db, &kid))).await
    }

    async fn revision(&self) -> Result<i64, Error> {
        let steps = self.steps();
        self.look(with!(db => keys::revision(db, steps))).await
    }

    async fn sites(&self) -> Result<Vec<Site>, Error> {
        self.read(with!(db => sites::every(db))).await
    }

    async fn add_site(&self, site: &Site, entry: audit::Entry) -> Result<bool, Error> {
        let site = site.clone();
        self.write(with!(db => sites::add(db, &site, &entry))).await
    }

    async fn swap_site(
        &self,
        seen: &Site,
        next: &Site,
        entry: audit::Entry,
    ) -> Result<bool, Error> {
        let (seen, next) = (seen.clone(), next.clone());
        self.write(with!(db => sites::swap(db, &seen, &next, &entry))).await
    }

    async fn remove_site(&self, id: &str, entry: audit::Entry) -> Result<bool, Error> {
        // Nobody's tap waits for all of its logins, and one try that runs out of time is not all for nothing.
        loop {
            let (id, entry) = (id.to_owned(), entry.clone());
            if let Some(was_there) = self.write(with!(db => sites::remove(db, &id, &entry))).await?
            {
                return Ok(was_there);
            }
        }
    }

    async fn take_logouts(&self, now: Timestamp, again: Timestamp) -> Result<Vec<Logout>, Error> {
        self.write(with!(db => sites::take_logouts(db, now, again))).await
    }

    async fn settle_logout(&self, id: i64, again: Option<Timestamp>) -> Result<(), Error> {
        self.write(with!(db => sites::settle_logout(db, id, again))).await
    }

    async fn server_secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let name = name.to_owned();
        self.read(with!(db => keys::server_secret(db, &name))).await
    }

    async fn make_server_secret(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, Error> {
        let name = name.to_owned();
        self.write(with!(db => keys::make_server_secret(db, &name, &fresh))).await
    }

    async fn seal(&self, keys: Vec<Seal>) -> Result<(), Error> {
        self.write(with!(db => keys::seal(db, &keys))).await?;
        // Once after all of them: each sweep is a trip to the disk.
        self.sweep().await
    }

    async fn audit(&self, entry: audit::Entry) -> Result<(), Error> {
        self.write_one(with!(db => audit_log::write(db, &entry))).await
    }

    async fn audit_since(&self, since: Timestamp, most: u32) -> Result<Vec<audit::Entry>, Error> {
        self.read(with!(db => audit_log::since(db, since, most))).await
    }

    async fn appids(&self) -> Result<Vec<String>, Error> {
        self.read(with!(db => people::appids(db))).await
    }

    async fn park(&self, tickets: Vec<Parked>) -> Result<(), Error> {
        self.write(with!(db => parked::park(db, &tickets))).await
    }

    async fn unpark(&self, most: u32) -> Result<Vec<Parked>, Error> {
        self.write(with!(db => parked::unpark(db, most))).await
    }

    async fn upkeep(&self, now: Timestamp, step: Duration) -> Result<Timestamp, Error> {
        self.write_one(with!(db => aging::upkeep(db, now, step))).await
    }

    async fn prune(&self, now: Timestamp) -> Result<(), Error> {
        let mut done = Ok(());
        // Each has its turn, whatever became of the one before it.
        for over in Over::ALL {
            done = done.and(ends(self, over, now).await);
        }
        done.and(self.write(with!(db => console::prune(db, now))).await)
    }

    async fn end_browser(
        &self,
        person: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error> {
        let (person, login) = (person.to_owned(), login.to_owned());
        self.write(with!(db => account::end_browser(db, &person, &login, now))).await
    }

    async fn end_all(
        &self,
        person: &str,
        phone: Hashed,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error> {
        let person = person.to_owned();
        self.write(with!(db => account::end_all(db, &person, phone, now))).await
    }

    async fn close_phone(&self, token: Hashed) -> Result<(), Error> {
        self.write(with!(db => phones::close(db, token))).await
    }

    async fn audit_of(&self, person: &str, most: u32) -> Result<Vec<(i64, audit::Entry)>, Error> {
        let person = person.to_owned();
        self.read(with!(db => audit_log::of_person(db, &person, most))).await
    }

    async fn consents(&self, person: &str) -> Result<Vec<Consent>, Error> {
        let person = person.to_owned();
        self.read(with!(db => account::consents(db, &person))).await
    }

    async fn withdraw(
        &self,
        person: &str,
        site: &str,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error> {
        let (person, site) = (person.to_owned(), site.to_owned());
        self.write(with!(db => account::withdraw(db, &person, &site, now))).await
    }

    async fn identities(&self, person: &str) -> Result<Vec<Identity>, Error> {
        let person = person.to_owned();
        self.read(with!(db => account::identities(db, &person))).await
    }

    async fn subs(&self, person: &str) -> Result<Vec<(String, String)>, Error> {
        let person = person.to_owned();
        self.read(with!(db => account::subs(db, &person))).await
    }

    async fn age(&self, network: Timestamp, audit: Timestamp) -> Result<(), Error> {
        let addresses = Old::ADDRESSES.map(|old| (old, network));
        let over = Old::OVER.map(|old| (old, audit));
        let mut done = Ok(());
        // Each has its turn, whatever became of the one before it.
        for (old, before) in addresses.into_iter().chain(over) {
            done = done.and(grows_old(self, old, before).await);
        }
        done.and(self.write_one(with!(db => aging::consents(db, audit))).await)
    }

    async fn import(
        &self,
        people: Vec<Import>,
        now: Timestamp,
        dry: bool,
    ) -> Result<Vec<Imported>, Error> {
        self.write(with!(db => import::all(db, &people, now, dry))).await
    }

    fn times(&self) -> &Times {
        Database::times(self)
    }

    async fn keep_console_link(&self, link: ConsoleLink) -> Result<(), Error> {
        self.write(with!(db => console::keep_link(db, &link))).await
    }

    async fn console_link_stands(
        &self,
        link: Hashed,
        opens: Opens,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.read(with!(db => console::link_stands(db, link, opens, now))).await
    }

    async fn take_console_link(
        &self,
        link: Hashed,
        opens: Opens,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.write(with!(db => console::take_link(db, link, opens, now))).await
    }

    async fn has_owner(&self) -> Result<bool, Error> {
        self.look(with!(db => console::has_owner(db))).await
    }

    async fn claim_ownership(
        &self,
        link: Hashed,
        person: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let person = person.to_owned();
        self.write(with!(db => console::claim_ownership(db, link, &person, now))).await
    }

    async fn open_console(&self, session: ConsoleSession) -> Result<(), Error> {
        self.write(with!(db => console::open(db, &session))).await
    }

    async fn operator(
        &self,
        session: Hashed,
        cookie: Option<Hashed>,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> Result<Option<Operator>, Error> {
        self.read(with!(db => console::operator(db, session, cookie, now, idle_since))).await
    }

    async fn operator_seen(&self, session: Hashed, now: Timestamp) -> Result<(), Error> {
        self.write(with!(db => console::seen(db, session, now))).await
    }

    async fn close_console(&self, session: Hashed, now: Timestamp) -> Result<(), Error> {
        self.write(with!(db => console::close(db, session, now))).await
    }

    async fn add_counts(&self, counts: Vec<Count>) -> Result<(), Error> {
        self.write(with!(db => counts::add(db, &counts))).await
    }

    async fn counts(&self, asked: &Counted) -> Result<Vec<Count>, Error> {
        let asked = asked.clone();
        self.read(with!(db => counts::of(db, &asked))).await
    }

    async fn forget_counts(&self, before: i64) -> Result<(), Error> {
        self.write(with!(db => counts::forget(db, before))).await
    }

    async fn audit_lines(&self, asked: &Lines) -> Result<Vec<(i64, audit::Entry)>, Error> {
        let asked = asked.clone();
        self.read(with!(db => audit_log::lines(db, &asked))).await
    }

    async fn person_named(&self, name: &str) -> Result<Option<Person>, Error> {
        let name = name.to_owned();
        self.read(with!(db => operator::named(db, &name))).await
    }

    async fn people(&self, search: &Search) -> Result<Vec<Listed>, Error> {
        let search = search.clone();
        self.read(with!(db => operator::search(db, &search))).await
    }

    async fn change(
        &self,
        person: &str,
        change: Change,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Changed>, Error> {
        let (person, by) = (person.to_owned(), by.to_owned());
        self.write(with!(db => operator::change(db, &person, &change, &by, now))).await
    }

    async fn word(&self, person: &str, site: &str) -> Result<Option<Word>, Error> {
        let (person, site) = (person.to_owned(), site.to_owned());
        self.look(with!(db => admissions::word(db, &person, &site))).await
    }

    async fn said(&self, person: &str) -> Result<Vec<Said>, Error> {
        let person = person.to_owned();
        self.read(with!(db => admissions::said(db, &person))).await
    }

    async fn askers(&self, most: u32) -> Result<Vec<Asker>, Error> {
        self.read(with!(db => admissions::askers(db, most))).await
    }

    async fn put_link(&self, link: Link, now: Timestamp) -> Result<(), Error> {
        self.write(with!(db => admissions::put_link(db, &link, now))).await
    }

    async fn link(&self, hash: Hashed, now: Timestamp) -> Result<Option<Link>, Error> {
        self.read(with!(db => admissions::link(db, hash, now))).await
    }

    async fn merge(
        &self,
        stays: &str,
        goes: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (stays, goes, by) = (stays.to_owned(), goes.to_owned(), by.to_owned());
        self.write(with!(db => operator::merge(db, &stays, &goes, &by, now))).await
    }

    async fn ping(&self) -> Result<(), Error> {
        let steps = self.steps();
        self.read(with!(db => rows::answers(db, steps))).await?;
        self.stands()?;
        // It only has everybody look again, and what writes the same as before would write nothing.
        self.writes().arrive(self.write(with!(db => keys::changed(db)))).await
    }
}
