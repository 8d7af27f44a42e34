//! `saoma person`: who signs in here, what they may, and what becomes of them.
//!
//! People are named by their user name or id, never by the nickname that they type themselves. All of it is noted in the
//! audit log, and holds at once on running servers.

use std::{fmt::Write as _, time::Duration};

use super::Said;
use crate::{
    audit::COMMAND,
    config::Settings,
    forgetting,
    keys::Keys,
    lang::Lang,
    links::{self, Gives},
    person::{OWNER, Person, is_group},
    site::Site,
    store::{Change, Changed, Search, SharedStore},
    world::{Timestamp, World},
};

mod rows;

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// `saoma person`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// List people, who came last first.
    List(Listing),
    /// Show all that matters of one.
    Show {
        /// User name or id.
        name: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make an owner: print a one-time link; who opens it and approves with their phone owns this server.
    Owner(Life),
    /// Put somebody in groups, or take them out; sites are told of groups in the claim "groups".
    #[command(group(clap::ArgGroup::new("which").args(["join", "leave"]).required(true).multiple(true)))]
    Group {
        /// User name or id.
        name: String,
        /// A group to be in; may be given several times.
        #[arg(long, value_name = "GROUP")]
        join: Vec<String>,
        /// A group to be in no more; may be given several times.
        #[arg(long, value_name = "GROUP")]
        leave: Vec<String>,
    },
    /// Let somebody in to a site that does not let in everybody.
    Allow {
        /// User name or id.
        name: String,
        /// The site's client_id.
        site: String,
    },
    /// Keep somebody out of one site, and end their logins there.
    Refuse {
        /// User name or id.
        name: String,
        /// The site's client_id.
        site: String,
        /// Only take back what was said before; the site's own rule holds again.
        #[arg(long)]
        undo: bool,
    },
    /// List who waits for an owner's yes.
    Asking {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Keep somebody out of everything: logins, tokens and phone sessions end at once.
    Block {
        /// User name or id.
        name: String,
    },
    /// Let a blocked person in again.
    Unblock {
        /// User name or id.
        name: String,
    },
    /// Join another WeChat to a person: print a one-time link to open with it, or make two known people one.
    Link {
        /// User name or id of who stays.
        name: String,
        /// User name or id of who becomes part of them, with logins and accounts.
        other: Option<String>,
        /// How the link lives.
        #[command(flatten)]
        life: Life,
    },
    /// Help somebody who lost their WeChat: print a one-time link; the WeChat that opens it stands in for all before.
    Recover {
        /// User name or id.
        name: String,
        /// How the link lives.
        #[command(flatten)]
        life: Life,
    },
    /// Forget somebody: every row that names them. It cannot be undone.
    Forget {
        /// User name or id.
        name: String,
        /// Yes, really.
        #[arg(long)]
        yes: bool,
    },
}

/// What to list.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Listing {
    /// Part of a user name or nickname, or the whole of an id, an openid or a unionid.
    #[arg(default_value = "", hide_default_value = true)]
    pub text: String,
    /// Members of this group alone.
    #[arg(long)]
    pub group: Option<String>,
    /// Those who are blocked alone.
    #[arg(long)]
    pub blocked: bool,
    /// The people after this one, by user name or id: the last of the page before.
    #[arg(long, value_name = "NAME")]
    pub after: Option<String>,
    /// So many at most.
    #[arg(long, default_value_t = 50)]
    pub most: u32,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// How long a link waits.
#[derive(Debug, Clone, clap::Args)]
pub struct Life {
    /// How long the link waits to be opened, such as 2h or 7d; 30 days at most.
    #[arg(long = "life", value_name = "TIME", default_value = "24h", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub time: Duration,
}

impl Default for Life {
    fn default() -> Self {
        Self { time: links::LIFE }
    }
}

/// Does what was typed.
///
/// # Errors
/// What could not be done, and what to type instead.
pub async fn run(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    command: Command,
) -> Said {
    let people = People { settings, store, world };
    match command {
        Command::List(listing) => people.list(listing).await,
        Command::Show { name, json } => people.show(&name, json).await,
        Command::Owner(life) => people.owner(life).await,
        Command::Group { name, join, leave } => people.group(&name, join, leave).await,
        Command::Allow { name, site } => people.allow(&name, &site).await,
        Command::Refuse { name, site, undo } => people.refuse(&name, &site, undo).await,
        Command::Asking { json } => people.asking(json).await,
        Command::Block { name } => people.block(&name).await,
        Command::Unblock { name } => people.unblock(&name).await,
        Command::Link { name, other: Some(other), .. } => people.merge(&name, &other).await,
        Command::Link { name, other: None, life } => people.link(&name, false, life).await,
        Command::Recover { name, life } => people.link(&name, true, life).await,
        Command::Forget { name, yes } => people.forget(&name, yes).await,
    }
}

struct People<'a> {
    settings: &'a Settings,
    store: &'a SharedStore,
    world: &'a World,
}

impl People<'_> {
    async fn named(&self, name: &str) -> Result<Person, String> {
        let found = self.store.person_named(name).await.map_err(said)?;
        found.ok_or_else(|| {
            format!("nobody has the user name or id {name:?}; `saoma person list {name}` looks for it in nicknames too")
        })
    }

    async fn changes(&self, person: &Person, change: Change) -> Result<Changed, String> {
        let changed = self.store.change(&person.id, change, COMMAND, self.world.now()).await;
        changed.map_err(said)?.ok_or_else(|| "they have been forgotten a moment ago".to_owned())
    }

    /// What to say where this person was the last owner. The console refuses to leave none; who has the machine may.
    async fn left_without(&self, before: &Person) -> Said {
        let was_one = before.is_owner() && !before.blocked;
        if !was_one || self.store.has_owner().await.map_err(said)? {
            return Ok(String::new());
        }
        Ok(" Nobody owns this server now: `saoma person owner` makes a link for who is to."
            .to_owned())
    }

    async fn list(&self, listing: Listing) -> Said {
        let after = match &listing.after {
            Some(name) => {
                let person = self.named(name).await?;
                Some((person.since, person.id))
            }
            None => None,
        };
        let blocked = listing.blocked.then_some(true);
        let Listing { text, group, most, json, .. } = listing;
        let found = self.store.people(&Search { text, group, blocked, after, most }).await;
        let found = found.map_err(said)?;
        if json {
            return Ok(rows::listed(&found));
        }
        let mut text =
            String::from("USER NAME    SINCE       LAST SEEN   LOGINS  GROUPS, NICKNAME\n");
        for listed in &found {
            let person = &listed.person;
            let seen = listed.last_seen.map_or_else(|| "never".to_owned(), day);
            let _ = writeln!(
                text,
                "{:<12} {}  {seen:<10}  {:<6}  {}{}{}",
                person.username,
                day(person.since),
                listed.logins,
                if person.blocked { "BLOCKED " } else { "" },
                person.groups.iter().map(|group| format!("[{group}] ")).collect::<String>(),
                person.nickname.as_deref().unwrap_or_default(),
            );
        }
        if found.len() == usize::try_from(most).unwrap_or(usize::MAX)
            && let Some(last) = found.last()
        {
            let _ = writeln!(text, "\nMore: --after {}", last.person.username);
        }
        Ok(text)
    }

    async fn show(&self, name: &str, json: bool) -> Said {
        let person = self.named(name).await?;
        let (logins, identities) = (
            self.store.logins(&person.id).await.map_err(said)?,
            self.store.identities(&person.id).await.map_err(said)?,
        );
        let (words, lines) = (
            self.store.said(&person.id).await.map_err(said)?,
            self.store.audit_of(&person.id, 10).await.map_err(said)?,
        );
        if json {
            return Ok(rows::shown(&person, &identities, &words, &logins, &lines));
        }
        let mut text = format!(
            "user name   {}\nid          {}\nnickname    {}\nsince       {}\nblocked     {}\ngroups      {}\n",
            person.username,
            person.id,
            person.nickname.as_deref().unwrap_or("none; they chose none"),
            moment(person.since),
            if person.blocked { "yes" } else { "no" },
            if person.groups.is_empty() { "none".to_owned() } else { person.groups.join(", ") },
        );
        for identity in &identities {
            let joined = if identity.unionid.is_some() { ", with a unionid" } else { "" };
            let _ = writeln!(text, "WeChat      of {}{joined}", identity.appid);
        }
        for said in &words {
            let _ = writeln!(
                text,
                "site        {}: {} {}",
                said.site,
                said.word.as_str(),
                moment(said.at)
            );
        }
        for login in &logins {
            let _ = writeln!(
                text,
                "login       {} since {}, {}, last seen {}",
                login.site,
                moment(login.since),
                login.browser.shown(Lang::En),
                moment(login.last_seen),
            );
        }
        for (_, line) in &lines {
            let site = line.site.as_deref().unwrap_or_default();
            let _ = writeln!(text, "log         {} {} {site}", moment(line.at), line.what);
        }
        Ok(text)
    }

    async fn owner(&self, life: Life) -> Said {
        let url = self.makes(Gives::Server, life).await?;
        Ok(format!(
            "{url}\n\nWho opens it and approves with their phone owns this server. Open it yourself."
        ))
    }

    async fn makes(&self, gives: Gives, life: Life) -> Said {
        let url = make_link(self.settings, self.store, self.world, gives, life.time).await?;
        let hours = life.time.as_secs().div_ceil(3600);
        Ok(format!("{url}\n\nIt is shown this once, good once, and for {hours} hours."))
    }

    async fn group(&self, name: &str, join: Vec<String>, leave: Vec<String>) -> Said {
        if let Some(wrong) = join.iter().chain(&leave).find(|group| !is_group(group)) {
            return Err(format!("{wrong:?} is no group; use 1 to 40 letters, digits, - _ or ."));
        }
        let before = self.named(name).await?;
        let mut person = before.clone();
        let changes =
            join.into_iter().map(Change::Join).chain(leave.into_iter().map(Change::Leave));
        for change in changes {
            person = self.changes(&person, change).await?.person;
        }
        let (username, groups) = (&person.username, person.groups.join(", "));
        let alone = self.left_without(&before).await?;
        Ok(match groups.as_str() {
            "" => format!("{username} is in no group.{alone}"),
            groups => format!(
                "{username} is in: {groups}. Sites hear of it at the next sign-in or refresh.{alone}"
            ),
        })
    }

    async fn allow(&self, name: &str, site: &str) -> Said {
        let person = self.named(name).await?;
        self.site(site).await?;
        self.changes(&person, Change::Admit(site.to_owned())).await?;
        Ok(format!("{} may sign in to {site} now.", person.username))
    }

    async fn refuse(&self, name: &str, site: &str, undo: bool) -> Said {
        let person = self.named(name).await?;
        let change = if undo { Change::Unsay } else { Change::Refuse };
        let changed = self.changes(&person, change(site.to_owned())).await?;
        let username = &person.username;
        Ok(if undo {
            format!("Nothing is said of {username} at {site} any more: the site's own rule holds.")
        } else if person.groups.iter().any(|group| group == OWNER) {
            format!(
                "It is noted, but {username} is an owner, and owners come in everywhere: `saoma person group {username} --leave {OWNER}`."
            )
        } else {
            format!(
                "{username} may not sign in to {site}; {} of their logins there ended.",
                changed.ended.len()
            )
        })
    }

    async fn asking(&self, json: bool) -> Said {
        let asking = self.store.askers(200).await.map_err(said)?;
        if json {
            return Ok(rows::asking(&asking));
        }
        if asking.is_empty() {
            return Ok("Nobody waits for an owner's yes.".to_owned());
        }
        let mut text =
            String::from("USER NAME    SITE                  SINCE             BROWSER\n");
        for ask in &asking {
            let browser = ask.browser.as_ref();
            let browser = browser.map(|it| it.shown(Lang::En)).unwrap_or_default();
            let _ = writeln!(
                text,
                "{:<12} {:<21} {} {browser} {}",
                ask.person.username,
                ask.site,
                moment(ask.at),
                ask.person.nickname.as_deref().unwrap_or_default(),
            );
        }
        text.push_str("\nYes: saoma person allow NAME SITE.  No: saoma person refuse NAME SITE.\n");
        Ok(text)
    }

    async fn block(&self, name: &str) -> Said {
        let person = self.named(name).await?;
        let ended = self.changes(&person, Change::Block).await?.ended.len();
        let owner = if person.is_owner() {
            " They are still an owner, and are so again once unblocked."
        } else {
            ""
        };
        let alone = self.left_without(&person).await?;
        Ok(format!(
            "{} is blocked; {ended} logins ended, with all tokens.{owner}{alone}",
            person.username
        ))
    }

    async fn unblock(&self, name: &str) -> Said {
        let person = self.named(name).await?;
        self.changes(&person, Change::Unblock).await?;
        Ok(format!("{} may sign in again.", person.username))
    }

    async fn merge(&self, stays: &str, goes: &str) -> Said {
        let (stays, goes) = (self.named(stays).await?, self.named(goes).await?);
        if stays.id == goes.id {
            return Err(format!("{} is one person already", stays.username));
        }
        let done = self.store.merge(&stays.id, &goes.id, COMMAND, self.world.now()).await;
        if !done.map_err(said)? {
            return Err("one of them has been forgotten a moment ago".to_owned());
        }
        Ok(format!(
            "{} is part of {} now, whose WeChats are both. A site that knew both goes on knowing each by its own account.",
            goes.username, stays.username
        ))
    }

    async fn link(&self, name: &str, instead: bool, life: Life) -> Said {
        let person = self.named(name).await?;
        if person.blocked {
            return Err(format!(
                "{0} is blocked; `saoma person unblock {0}` first",
                person.username
            ));
        }
        let username = &person.username;
        let url = self.makes(Gives::Person { id: person.id.clone(), instead }, life).await?;
        Ok(if instead {
            format!(
                "{url}\n\nGive it to {username} alone: the WeChat that opens it becomes theirs, the ones before are let go, and every login ends."
            )
        } else {
            format!(
                "{url}\n\nGive it to {username} alone: the WeChat that opens it becomes theirs too."
            )
        })
    }

    async fn forget(&self, name: &str, yes: bool) -> Said {
        let person = self.named(name).await?;
        if !yes {
            return Err(format!(
                "forgetting {0} cannot be undone: sites know them no more, and they come back as somebody new; add --yes",
                person.username
            ));
        }
        let keys = Keys::load(self.store, &self.settings.keys, self.world).await.map_err(said)?;
        let forgotten =
            forgetting::forget(self.store, &keys, self.world, &person.id, Some(COMMAND)).await;
        forgotten.map_err(said)?;
        Ok(format!("{} is forgotten.{}", person.username, self.left_without(&person).await?))
    }

    async fn site(&self, id: &str) -> Result<Site, String> {
        super::sites::find(self.settings, self.store, id)
            .await?
            .ok_or_else(|| format!("there is no site {id:?}; `saoma site list` shows all"))
    }
}

/// Makes a one-time link by command; its address.
///
/// # Errors
/// If it would wait for too long.
pub(super) async fn make_link(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    gives: Gives,
    life: Duration,
) -> Said {
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
    if life > LONGEST || life.is_zero() {
        return Err("--life must be 30d at most: who finds an old link could use it".to_owned());
    }
    links::make(store, world, &settings.public_url, (gives, COMMAND), life).await.map_err(said)
}

fn day(at: Timestamp) -> String {
    written(at, "%Y-%m-%d")
}

fn moment(at: Timestamp) -> String {
    written(at, "%Y-%m-%d %H:%M")
}

fn written(at: Timestamp, form: &str) -> String {
    jiff::Timestamp::from_second(at.seconds()).unwrap_or_default().strftime(form).to_string()
}
