//! Tickets in Redis or Valkey, where several nodes share them.
//!
//! A ticket is a hash under its id's hash: its JSON and the number of its writes. Every write is one small script on that
//! one key, so that of many writers one wins; the names that lead to it (scene, digits) are keys of their own, written
//! after it and believed only if it says so too. All keys of a ticket carry `{id}` and live in one slot of a cluster.
//! Everything has a life, so that nothing stays: a Redis that comes back empty has lost what waited and no decision.
//!
//! Only hashes of secrets are in it, but for WeChat's access_token (`token.rs`). `nudges.rs` tells other nodes' pages.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{try_join, try_join_all};
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, Script, cmd, pipe};
use tokio::time::timeout;

use super::{Error, Expired, Parked, Picture, Seen, Tickets};
use crate::{
    secret::Hashed,
    ticket::Ticket,
    waiting::Waiting,
    world::{Timestamp, World},
};

mod clock;
mod link;
mod nudges;
mod token;

use link::Link;
use nudges::Nudges;

/// How long after its end a ticket is still known, so that its page and phone hear "expired" and not "unknown".
const AFTERLIFE: Duration = Duration::from_secs(120);

/// How long a claim is remembered: it is asked for within ten minutes of the decision and redeemed within one.
const CLAIM: Duration = Duration::from_secs(3600);

/// The longest that something small is kept, whatever its own end.
const KEPT: Duration = Duration::from_secs(900);

/// How many small things are kept at once: at 16 KiB each at most, what strangers may have Redis hold.
const MOST_KEPT: usize = 16_384;

/// How long Redis may take for anything: a page's look, a phone's tap.
const LIMIT: Duration = Duration::from_secs(3);

/// How long an answer may take to come on a connection before that is given up for another: less, so that it is known
/// before nobody waits for the answer any more.
const ANSWER: Duration = Duration::from_millis(2500);

/// The ids of all tickets by the moment at which each may be forgotten, so far as was known when it was put there: a scan
/// makes it live longer.
const HELD: &str = "saoma:held";

/// The names of all small things that are kept, by the moment at which each was put there.
const KEEPING: &str = "saoma:keeping";

/// The same names by their end.
const ENDING: &str = "saoma:keeping:ends";

/// Tickets in Redis.
pub struct Redis {
    link: Link,
    nudges: Nudges,
    token: Arc<token::Shared>,
    scripts: Scripts,
    apart: clock::Apart,
}

struct Scripts {
    swap: Script,
    take: Script,
    count: Script,
    claim: Script,
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        // The detail quotes what Redis said, and that may quote a command; the kind and the code do not.
        let code = error.code().map(|code| format!(" ({code})")).unwrap_or_default();
        let said = |words: &str| error.to_string().contains(words);
        Self(match error.kind() {
            _ if code == " (NOAUTH)" => {
                "Redis wants a password: redis://:password@host:6379".to_owned()
            }
            _ if code == " (NOPERM)" => {
                "this user of Redis may not do all that saoma asks for: see its ACL".to_owned()
            }
            ErrorKind::AuthenticationFailed => "Redis refuses the user or the password".to_owned(),
            _ if code == " (OOM)" => {
                "Redis has no room left for what is written: give it more (maxmemory)".to_owned()
            }
            _ if code == " (MISCONF)" => {
                "Redis takes no writes because it cannot save to its disk: see its log".to_owned()
            }
            _ if code == " (READONLY)" => {
                "this Redis is a replica and takes no writes: tickets must name the primary"
                    .to_owned()
            }
            _ if said("switch database") => {
                "Redis has no database of this number: leave the number out, or give it more (databases in redis.conf)".to_owned()
            }
            _ if said("cluster support disabled") => {
                "this Redis is no cluster: leave cluster=true out".to_owned()
            }
            ErrorKind::Io => error.to_string(),
            kind => format!("{kind:?}{code}"),
        })
    }
}

impl Redis {
    /// Connects to the Redis of this URL (`redis://`, `rediss://`, `valkey://`, `valkeys://`), and sets the world's clock
    /// by its.
    ///
    /// # Errors
    /// If the URL cannot be used, or Redis does not answer.
    pub async fn connect(url: &str, waiting: Arc<Waiting>, world: &World) -> Result<Self, Error> {
        let address = link::Address::parse(url)?;
        let link = address.connect(ANSWER).await?;
        // Hearing blocks a connection for a second at a time: it has one of its own.
        let ear = address.connect(ANSWER).await?;
        let redis = Self {
            nudges: Nudges::new(ear, waiting, world),
            token: Arc::new(token::Shared::new(link.clone())),
            link,
            scripts: Scripts {
                swap: Script::new(include_str!("redis/swap.lua")),
                take: Script::new(include_str!("redis/take.lua")),
                count: Script::new(include_str!("redis/count.lua")),
                claim: Script::new(include_str!("redis/claim.lua")),
            },
            apart: clock::Apart::default(),
        };
        clock::follow(&redis.link, world, &redis.apart).await?;
        Ok(redis)
    }

    /// Whether Redis could be asked for by this URL; nobody is asked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(url: &str) -> Result<(), Error> {
        link::Address::parse(url).map(drop)
    }

    async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        within(cmd.query_async(&mut self.link.clone())).await
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        key: &str,
        args: &[&[u8]],
    ) -> Result<T, Error> {
        let mut call = script.key(key);
        for arg in args {
            call.arg(*arg);
        }
        within(call.invoke_async(&mut self.link.clone())).await
    }

    async fn seen(&self, id: Hashed) -> Result<Option<Seen>, Error> {
        let found: (Option<u64>, Option<Vec<u8>>) =
            self.ask(cmd("HMGET").arg(ticket_key(id)).arg("v").arg("t")).await?;
        let (Some(version), Some(json)) = found else { return Ok(None) };
        Ok(Some(Seen { ticket: parsed(&json)?, version }))
    }

    /// The ticket that an index leads to.
    async fn led_to(&self, index: &str) -> Result<Option<Seen>, Error> {
        let id: Option<Vec<u8>> = self.ask(cmd("GET").arg(index)).await?;
        match id.and_then(|id| id.try_into().ok()) {
            Some(id) => self.seen(Hashed::from_bytes(id)).await,
            None => Ok(None),
        }
    }

    async fn insert(&self, ticket: &Ticket, picture: Option<&Picture>) -> Result<(), Error> {
        let id = ticket.id;
        let life = life(ticket);
        let mut whole = pipe();
        // All or nothing: what has no life yet would stay for ever.
        whole.atomic();
        whole.hset_multiple(ticket_key(id), &[("v", b"0".to_vec()), ("t", json(ticket)?)]).ignore();
        whole.cmd("PEXPIRE").arg(ticket_key(id)).arg(life).ignore();
        if let Some(picture) = picture {
            whole
                .cmd("SET")
                .arg(picture_key(id))
                .arg(picture.packed())
                .arg("PX")
                .arg(life)
                .ignore();
        }
        self.whole(&whole).await?;
        let index =
            |key: String| cmd("SET").arg(key).arg(id.as_bytes()).arg("PX").arg(life).to_owned();
        let mut names = vec![index(scene_key(&ticket.scene))];
        names.extend(ticket.digits.as_deref().map(|digits| index(digits_key(digits))));
        names
            .push(cmd("ZADD").arg(HELD).arg(leaves(ticket).millis()).arg(id.as_bytes()).to_owned());
        self.all(&names).await
    }

    /// Commands on keys of one slot, one after the other and all of them or none.
    async fn whole(&self, commands: &Pipeline) -> Result<(), Error> {
        within(commands.query_async(&mut self.link.clone())).await
    }

    /// Commands on keys of any slots, all at once.
    async fn all(&self, commands: &[Cmd]) -> Result<(), Error> {
        try_join_all(commands.iter().map(|cmd| self.ask::<()>(cmd))).await.map(drop)
    }

    /// Takes a ticket away if it stands at this version, or whatever stands where none is asked for.
    async fn take_ticket(&self, id: Hashed, version: Option<u64>) -> Result<Option<Ticket>, Error> {
        let version = version.map(|version| version.to_string()).unwrap_or_default();
        let mut call = self.scripts.take.key(ticket_key(id));
        call.key(picture_key(id)).arg(version);
        let taken: Option<Vec<u8>> = within(call.invoke_async(&mut self.link.clone())).await?;
        let Some(taken) = taken else { return Ok(None) };
        let ticket: Ticket = parsed(&taken)?;
        self.all(&names_of(&ticket)).await?;
        Ok(Some(ticket))
    }

    /// Forgets a ticket whose time is over; if it lives longer by now, its name is put back in its place. Of all nodes that
    /// come upon it one is given it.
    async fn forget(&self, id: Hashed, now: Timestamp) -> Result<Option<Ticket>, Error> {
        match self.seen(id).await? {
            Some(seen) if leaves(&seen.ticket) > now => {
                let later = leaves(&seen.ticket).millis();
                self.ask::<()>(cmd("ZADD").arg(HELD).arg("XX").arg(later).arg(id.as_bytes()))
                    .await?;
                Ok(None)
            }
            Some(seen) => self.take_ticket(id, Some(seen.version)).await,
            None => {
                self.ask::<()>(cmd("ZREM").arg(HELD).arg(id.as_bytes())).await?;
                Ok(None)
            }
        }
    }

    /// Lets digits stand for a ticket, if they stand for no other.
    async fn claim_digits(&self, digits: &str, ticket: &Ticket) -> Result<bool, Error> {
        let key = digits_key(digits);
        let claimed: Option<String> = self
            .ask(
                cmd("SET")
                    .arg(&key)
                    .arg(ticket.id.as_bytes())
                    .arg("NX")
                    .arg("PX")
                    .arg(life(ticket)),
            )
            .await?;
        if claimed.is_some() {
            return Ok(true);
        }
        let owner: Option<Vec<u8>> = self.ask(cmd("GET").arg(&key)).await?;
        Ok(owner.as_deref() == Some(ticket.id.as_bytes()))
    }
}

#[async_trait]
impl Tickets for Redis {
    async fn put(&self, ticket: Ticket, picture: Option<Picture>) -> Result<(), Error> {
        self.insert(&ticket, picture.as_ref()).await
    }

    async fn by_id(&self, id: Hashed) -> Result<Option<Seen>, Error> {
        self.seen(id).await
    }

    async fn by_scene(&self, scene: &str) -> Result<Option<Seen>, Error> {
        let seen = self.led_to(&scene_key(scene)).await?;
        Ok(seen.filter(|seen| seen.ticket.scene == scene))
    }

    async fn by_digits(&self, digits: &str) -> Result<Option<Seen>, Error> {
        let seen = self.led_to(&digits_key(digits)).await?;
        Ok(seen.filter(|seen| seen.ticket.digits.as_deref() == Some(digits)))
    }

    async fn swap(&self, seen: &Seen, next: Ticket) -> Result<bool, Error> {
        if let Some(digits) = &next.digits
            && seen.ticket.digits != next.digits
            && !self.claim_digits(digits, &next).await?
        {
            return Ok(false);
        }
        let life = life(&next);
        let mut swap = self.scripts.swap.key(ticket_key(next.id));
        swap.key(picture_key(next.id)).arg(seen.version).arg(json(&next)?).arg(life);
        let mut link = self.link.clone();
        let swap = within(swap.invoke_async(&mut link));
        // The names with it, and for whoever wins: nobody finds a ticket that has outlived them.
        let names = [Some(scene_key(&next.scene)), next.digits.as_deref().map(digits_key)];
        let live =
            names.into_iter().flatten().map(|name| cmd("PEXPIRE").arg(name).arg(life).to_owned());
        let live: Vec<Cmd> = live.collect();
        Ok(try_join(swap, self.all(&live)).await?.0)
    }

    async fn replace(
        &self,
        seen: &Seen,
        next: Ticket,
        picture: Option<Picture>,
    ) -> Result<bool, Error> {
        // The new one first: a node that dies in between leaves two, and never none.
        self.insert(&next, picture.as_ref()).await?;
        let replaced = self.take_ticket(seen.ticket.id, Some(seen.version)).await?;
        if replaced.is_none() {
            self.take_ticket(next.id, None).await?;
        }
        Ok(replaced.is_some())
    }

    /// This process has no ticket in its memory.
    fn let_go(&self, _: Hashed) {}

    async fn remove(&self, ticket: &Ticket) -> Result<(), Error> {
        let mut all = names_of(ticket);
        all.push(cmd("DEL").arg(ticket_key(ticket.id)).arg(picture_key(ticket.id)).to_owned());
        self.all(&all).await
    }

    async fn picture(&self, id: Hashed) -> Result<Option<Picture>, Error> {
        let packed: Option<Vec<u8>> = self.ask(cmd("GET").arg(picture_key(id))).await?;
        packed.map(|packed| Picture::unpacked(packed.into())).transpose()
    }

    async fn first_claim(&self, id: Hashed, now: Timestamp) -> Result<Timestamp, Error> {
        let [now, life] = [now.millis(), millis(CLAIM)].map(|n| n.to_string());
        let args: [&[u8]; 2] = [now.as_bytes(), life.as_bytes()];
        let at: i64 = self.run(&self.scripts.claim, &claim_key(id), &args).await?;
        Ok(Timestamp::from_millis(at))
    }

    async fn claimed(&self, id: Hashed) -> Result<Option<Timestamp>, Error> {
        let at: Option<i64> = self.ask(cmd("GET").arg(claim_key(id))).await?;
        Ok(at.map(Timestamp::from_millis))
    }

    async fn count(
        &self,
        what: &str,
        add: i32,
        window: Duration,
        now: Timestamp,
    ) -> Result<u32, Error> {
        // What is counted may name a person.
        let key = format!("saoma:count:{}", hex::encode(Hashed::of(what).as_bytes()));
        let [add, window, now] =
            [i64::from(add), millis(window), now.millis()].map(|n| n.to_string());
        let args: [&[u8]; 3] = [add.as_bytes(), window.as_bytes(), now.as_bytes()];
        self.run(&self.scripts.count, &key, &args).await
    }

    async fn keep(
        &self,
        name: Hashed,
        value: Bytes,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), Error> {
        let held: usize = self.ask(cmd("ZCARD").arg(KEEPING)).await?;
        if let Some(over) = (held + 1).checked_sub(MOST_KEPT).filter(|over| *over > 0) {
            let oldest: Vec<(Vec<u8>, f64)> =
                self.ask(cmd("ZPOPMIN").arg(KEEPING).arg(over)).await?;
            let oldest: Vec<Vec<u8>> = oldest.into_iter().map(|(name, _)| name).collect();
            let names = oldest.iter().filter_map(|name| <[u8; 32]>::try_from(&name[..]).ok());
            let mut gone: Vec<Cmd> = names
                .map(|name| cmd("DEL").arg(kept_key(Hashed::from_bytes(name))).to_owned())
                .collect();
            // Another node may have taken them first.
            gone.extend(
                (!oldest.is_empty()).then(|| cmd("ZREM").arg(ENDING).arg(oldest).to_owned()),
            );
            self.all(&gone).await?;
        }
        let packed = [&until.millis().to_be_bytes(), &value[..]].concat();
        let kept =
            cmd("SET").arg(kept_key(name)).arg(packed).arg("PX").arg(millis(KEPT)).to_owned();
        let counted = |set: &str, at: Timestamp| {
            cmd("ZADD").arg(set).arg(at.millis()).arg(name.as_bytes()).to_owned()
        };
        self.all(&[kept, counted(KEEPING, now), counted(ENDING, until)]).await
    }

    async fn kept(&self, name: Hashed, now: Timestamp) -> Result<Option<Bytes>, Error> {
        let packed: Option<Vec<u8>> = self.ask(cmd("GET").arg(kept_key(name))).await?;
        Ok(packed.and_then(|packed| unpacked(&packed, now)))
    }

    async fn nudge(&self, id: Hashed) {
        self.nudges.send(&self.link, id).await;
    }

    async fn how_many(&self) -> Result<usize, Error> {
        self.ask(cmd("ZCARD").arg(HELD)).await
    }

    async fn purge(&self, now: Timestamp) -> Result<Expired, Error> {
        // What ends by Redis's own clock leaves its name behind; by ours it is looked at once more.
        const ROUND: usize = 256;
        let over = |set: &str, at: Timestamp| {
            cmd("ZRANGEBYSCORE").arg(set).arg("-inf").arg(at.millis()).to_owned()
        };
        let ended: Vec<Vec<u8>> = self.ask(&over(ENDING, now)).await?;
        if !ended.is_empty() {
            let gone = |set: &str| cmd("ZREM").arg(set).arg(&ended).to_owned();
            self.all(&[gone(KEEPING), gone(ENDING)]).await?;
        }
        // And what a node that died in the middle left in one of the two.
        let old = now.before(KEPT).millis();
        self.ask::<()>(cmd("ZREMRANGEBYSCORE").arg(KEEPING).arg("-inf").arg(old)).await?;
        let mut expired = Expired::default();
        loop {
            let over: Vec<Vec<u8>> =
                self.ask(over(HELD, now).arg("LIMIT").arg(0).arg(ROUND)).await?;
            let ids = over.iter().filter_map(|id| <[u8; 32]>::try_from(id.as_slice()).ok());
            let gone = ids.map(|id| self.forget(Hashed::from_bytes(id), now));
            for ticket in try_join_all(gone).await?.into_iter().flatten() {
                expired.count(&ticket);
            }
            if over.len() < ROUND {
                return Ok(expired);
            }
        }
    }

    /// Redis outlives this node: another one goes on with what waits.
    async fn park(&self, _: u32) -> Result<Vec<Parked>, Error> {
        Ok(Vec::new())
    }

    /// Who answers may take no writes: it has no room left, or is a replica by now.
    async fn ping(&self) -> Result<(), Error> {
        self.apart.check()?;
        self.ask(cmd("SET").arg("saoma:ping").arg(1).arg("PX").arg(1000)).await
    }

    async fn attend(&self, world: &World) {
        let follow = clock::keep_following(&self.link, world, &self.apart);
        tokio::join!(self.nudges.hear(&self.link, world), follow);
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn token_store(&self) -> Option<Arc<dyn wechat::token::TokenStore>> {
        Some(self.token.clone())
    }
}

/// An answer of Redis, in time.
async fn within<T>(answer: impl Future<Output = redis::RedisResult<T>>) -> Result<T, Error> {
    match timeout(LIMIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error("Redis does not answer in time".to_owned())),
    }
}

fn json(ticket: &Ticket) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(ticket).map_err(|error| Error(error.to_string()))
}

fn parsed(json: &[u8]) -> Result<Ticket, Error> {
    serde_json::from_slice(json)
        .map_err(|error| Error(format!("a ticket is not as it should be: {error}")))
}

/// Forgets the names that lead to a ticket.
fn names_of(ticket: &Ticket) -> Vec<Cmd> {
    let mut names = vec![
        cmd("DEL").arg(scene_key(&ticket.scene)).to_owned(),
        cmd("ZREM").arg(HELD).arg(ticket.id.as_bytes()).to_owned(),
    ];
    let digits = ticket.digits.as_deref();
    names.extend(digits.map(|digits| cmd("DEL").arg(digits_key(digits)).to_owned()));
    names
}

/// How long the keys of a ticket live from the moment in which it is written, in milliseconds: at least until it may be
/// forgotten, without asking what time it is.
fn life(ticket: &Ticket) -> i64 {
    millis(ticket.expires.since(ticket.opened) + AFTERLIFE)
}

/// When a ticket may be forgotten.
fn leaves(ticket: &Ticket) -> Timestamp {
    ticket.expires + AFTERLIFE
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// What is kept, after its end in eight bytes.
fn unpacked(packed: &[u8], now: Timestamp) -> Option<Bytes> {
    let (until, value) = packed.split_first_chunk()?;
    let until = Timestamp::from_millis(i64::from_be_bytes(*until));
    (until > now).then(|| Bytes::copy_from_slice(value))
}

fn ticket_key(id: Hashed) -> String {
    format!("saoma:{{{}}}", hex::encode(id.as_bytes()))
}

fn picture_key(id: Hashed) -> String {
    format!("saoma:{{{}}}:picture", hex::encode(id.as_bytes()))
}

fn claim_key(id: Hashed) -> String {
    format!("saoma:{{{}}}:claimed", hex::encode(id.as_bytes()))
}

fn scene_key(scene: &str) -> String {
    format!("saoma:scene:{scene}")
}

fn digits_key(digits: &str) -> String {
    format!("saoma:digits:{digits}")
}

fn kept_key(name: Hashed) -> String {
    format!("saoma:kept:{}", hex::encode(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{super::contract, *};
    use crate::servers::{Gate, RedisCluster, RedisServer};

    async fn connect(url: &str) -> (Redis, Arc<Waiting>) {
        let waiting = Arc::new(Waiting::default());
        (Redis::connect(url, waiting.clone(), &World::real()).await.unwrap(), waiting)
    }

    /// A minute is more than any machine needs.
    async fn in_time(what: impl Future<Output = ()>) {
        tokio::time::timeout(Duration::from_secs(60), what).await.expect("it never came");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn redis_keeps_the_contract() {
        let server = RedisServer::starts();
        let n = AtomicU32::new(0);
        let fresh = async || connect(&server.url(n.fetch_add(1, Ordering::Relaxed))).await.0;
        contract::holds(fresh, MOST_KEPT).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_keeps_the_contract_and_carries_nudges_and_the_token() {
        let cluster = RedisCluster::starts();
        let fresh = async || {
            cluster.empties();
            connect(&cluster.url()).await.0
        };
        contract::holds(fresh, MOST_KEPT).await;

        let world = World::real();
        let (here, waiting) = connect(&cluster.url()).await;
        let (there, _) = connect(&cluster.url()).await;
        let pass = async |span| world.sleep_until(world.now() + span).await;
        wechat::token::contract::holds(here.token_store().unwrap(), pass).await;
        let ticket = Hashed::of("ticket");
        let mut watcher = waiting.watch(ticket);
        let nudged = async {
            // The first thing a node does is let its pages look.
            watcher.nudged().await;
            there.nudge(ticket).await;
            watcher.nudged().await;
        };
        tokio::select! {
            () = here.attend(&world) => unreachable!("it hears for as long as it is polled"),
            () = nudged => {}
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_clock_that_is_far_from_redis_is_neither_followed_nor_ready() {
        let server = RedisServer::starts();
        for (minutes, is_ready) in [(1, true), (60, false)] {
            let there = World::real().now() + Duration::from_secs(60 * minutes);
            let world = World::held(there, 7);
            let redis = Redis::connect(&server.url(0), Arc::default(), &world).await.unwrap();
            assert_eq!(redis.ping().await.is_ok(), is_ready, "{minutes} minutes apart");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_shared_token_keeps_its_contract() {
        let server = RedisServer::starts();
        let (redis, _) = connect(&server.url(0)).await;
        let world = World::real();
        let pass = async |span| world.sleep_until(world.now() + span).await;
        wechat::token::contract::holds(redis.token_store().unwrap(), pass).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_spoken_to_by_tls_and_only_if_its_certificate_is_trusted() {
        let server = RedisServer::starts();
        connect(&server.tls_url()).await.0.ping().await.unwrap();
        let (untrusted, _) =
            server.tls_url().split_once('?').map(|(url, _)| (url.to_owned(), ())).unwrap();
        let waiting = Arc::new(Waiting::default());
        let refused = Redis::connect(&untrusted, waiting, &World::real()).await;
        assert!(refused.is_err(), "nobody vouches for it");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_redis_refuses_is_said_with_what_to_write() {
        let server = RedisServer::starts();
        let (plain, tls) = (server.address(), server.tls_url());
        let tls_at = tls.split(['@', '/']).nth(3).unwrap();
        let good = server.url(0);
        for (url, words) in [
            (format!("redis://{plain}"), "wants a password"),
            (format!("redis://:wrong@{plain}"), "refuses the user or the password"),
            (server.url(999), "no database of this number"),
            (format!("{}?cluster=true", good.trim_end_matches("/0")), "is no cluster"),
            (good.replace("redis://", "rediss://"), "write redis://"),
            (good.replace(&plain.to_string(), tls_at), "write rediss://"),
            ("redis:6379".to_owned(), "no URL of a Redis"),
        ] {
            let tried = Redis::connect(&url, Arc::new(Waiting::default()), &World::real()).await;
            let said = tried.err().unwrap().to_string();
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_is_nudged_from_any_node_and_after_every_outage() {
        let mut server = RedisServer::starts();
        let (here, there) = (connect(&server.url(0)).await, connect(&server.url(0)).await);
        let world = Arc::new(World::real());
        let redis = Arc::new(here.0);
        let ticket = Hashed::of("ticket");
        let mut watcher = here.1.watch(ticket);
        let hearing = {
            let (redis, world) = (redis.clone(), world.clone());
            tokio::spawn(async move { redis.attend(&world).await })
        };
        // The first thing a node does is let its pages look.
        watcher.nudged().await;
        there.0.nudge(ticket).await;
        watcher.nudged().await;
        server.stops();
        there.0.nudge(ticket).await;
        server.starts_again();
        watcher.nudged().await;
        // A connection that was tried while Redis was away fails once more before the next is made.
        in_time(async {
            while there.0.ping().await.is_err() {
                world.sleep_until(world.now() + Duration::from_millis(20)).await;
            }
        })
        .await;
        there.0.nudge(Hashed::of("another")).await;
        there.0.nudge(ticket).await;
        watcher.nudged().await;
        hearing.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_that_stands_and_brings_nothing_is_given_up_for_another() {
        let server = RedisServer::starts();
        let gate = Gate::before(&[server.address()]).await;
        let (redis, waiting) = connect(&server.url_through(gate.address)).await;
        let world = World::real();
        let mut watcher = waiting.watch(Hashed::of("ticket"));
        let asked = async {
            // The first thing a node does is let its pages look.
            watcher.nudged().await;
            gate.deadens();
            assert!(redis.ping().await.is_err(), "nothing comes");
            redis.ping().await.unwrap();
            // It hears again, too, and has its pages look at what it may have missed.
            watcher.nudged().await;
        };
        tokio::select! {
            () = redis.attend(&world) => unreachable!("it hears for as long as it is polled"),
            () = asked => {}
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_was_the_primary_when_it_was_reached_and_is_a_replica_now_is_left() {
        let server = RedisServer::starts();
        let (redis, _) = connect(&server.url(0)).await;
        let now = World::real().now();
        let id = async || redis.ask::<i64>(cmd("CLIENT").arg("ID")).await.unwrap();
        let is_replica_of = async |host: &str, port: &str| {
            redis.ask::<()>(cmd("REPLICAOF").arg(host).arg(port)).await.unwrap();
        };
        for writes in ["a script", "a transaction", "a command"] {
            let before = id().await;
            is_replica_of("127.0.0.1", "1").await;
            // The first connection may be too young to be given up.
            in_time(async {
                while id().await == before {
                    let refused = match writes {
                        "a script" => redis.count("tries", 1, CLAIM, now).await.map(drop),
                        "a transaction" => redis.put(contract::ticket("one", now), None).await,
                        _ => redis.ping().await,
                    };
                    assert!(refused.is_err(), "{writes}");
                }
            })
            .await;
            is_replica_of("NO", "ONE").await;
            redis.ping().await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_takes_no_writes_is_not_well_though_it_answers() {
        let server = RedisServer::starts();
        let (redis, _) = connect(&server.url(0)).await;
        let room = async |bytes: &str| {
            redis.ask::<()>(cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes)).await.unwrap();
        };
        redis.ping().await.unwrap();
        room("1").await;
        redis.how_many().await.unwrap();
        let said = redis.ping().await.unwrap_err().to_string();
        assert!(said.contains("maxmemory"), "{said}");
        room("0").await;
        redis.ping().await.unwrap();
        redis.ask::<()>(cmd("REPLICAOF").arg("127.0.0.1").arg("1")).await.unwrap();
        let said = redis.ping().await.unwrap_err().to_string();
        assert!(said.contains("replica"), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_ticket_is_there_under_all_its_names_for_as_long_as_a_scan_lets_it_live() {
        let server = RedisServer::starts();
        let (redis, _) = connect(&server.url(0)).await;
        let now = World::real().now();
        let digits = Some("12345678".to_owned());
        let opened = contract::ticket("one", now);
        let short = Ticket { digits, expires: now + Duration::from_secs(30), ..opened };
        let picture =
            Picture { content_type: "image/png".to_owned(), bytes: Bytes::from_static(b"png") };
        redis.put(short.clone(), Some(picture)).await.unwrap();
        let seen = redis.by_id(short.id).await.unwrap().unwrap();
        let later = now + Duration::from_secs(1800);
        assert!(redis.swap(&seen, Ticket { expires: later, ..short.clone() }).await.unwrap());
        let names = [scene_key(&short.scene), digits_key("12345678")];
        for key in names.into_iter().chain([ticket_key(short.id), picture_key(short.id)]) {
            let left: u64 = redis.ask(cmd("PTTL").arg(&key)).await.unwrap();
            assert!(World::real().now() + Duration::from_millis(left) >= later, "{key}: {left}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_stays_for_ever_and_no_secret_stands_in_it() {
        let server = RedisServer::starts();
        let (redis, _) = connect(&server.url(0)).await;
        let now = World::real().now();
        let mut ticket = contract::ticket("the page's own", now);
        ticket.digits = Some("12345678".to_owned());
        let picture =
            Picture { content_type: "image/png".to_owned(), bytes: Bytes::from_static(b"png") };
        redis.put(ticket.clone(), Some(picture)).await.unwrap();
        redis.first_claim(ticket.id, now).await.unwrap();
        redis.count("digits:wx1:ann", 1, Duration::from_secs(600), now).await.unwrap();
        redis.keep(Hashed::of("kept"), Bytes::from_static(b"{}"), now, now + CLAIM).await.unwrap();
        redis.nudge(ticket.id).await;
        let keys: Vec<String> = redis.ask(cmd("KEYS").arg("*")).await.unwrap();
        assert!(keys.len() >= 9, "{keys:?}");
        for key in keys {
            let left: i64 = redis.ask(cmd("PTTL").arg(&key)).await.unwrap();
            // The stream is cut by its length, the sets by who purges, and a counter is eight bytes.
            let bounded = [HELD, KEEPING, ENDING, "saoma:{nudges}", "saoma:{nudges}:n"];
            assert!(left > 0 || bounded.contains(&key.as_str()), "{key} stays for ever");
            assert!(!key.contains("ann") && !key.contains(":kept:kept"), "{key}");
        }
    }
}
