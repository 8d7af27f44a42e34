//! Sites as operators register, change and remove them: the rules for the command line and the console, which word what comes
//! of it.
//!
//! A change is made to the site as it stands in that moment, and stands in the audit log or was not made.

use super::{Fault, Logo, Site, Sites, beside, protected_twice};
use crate::{
    admission::Admit,
    audit,
    config::Settings,
    secret::Secret,
    store::{self, SharedStore},
    world::World,
};

/// Where sites are kept, and by whose word they change.
#[derive(Clone, Copy)]
pub struct Keeping<'a> {
    /// The settings in force.
    pub settings: &'a Settings,
    /// All sites, as far as this process knows: those of the settings cannot be changed here.
    pub sites: &'a Sites,
    /// Where the others are kept.
    pub store: &'a SharedStore,
    /// Time and dice.
    pub world: &'a World,
    /// Who wants it: [`audit::COMMAND`], [`audit::CONSOLE`], or the id of an owner.
    pub by: &'a str,
}

/// Why nothing was done.
#[derive(Debug)]
pub enum Refusal {
    /// There is a site of this id already.
    Taken,
    /// The store has no site of this id.
    Unknown,
    /// It stands in the settings, and is changed there.
    Settled,
    /// It is saoma itself.
    Own,
    /// It is a public site, which PKCE alone protects; a secret in a browser would be none.
    Public,
    /// What is wrong with it, each with what to write instead.
    Faults(Vec<Fault>),
    /// The store.
    Store(store::Error),
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Keeping<'_> {
    /// Registers a site; it, and its secret unless it is a public one.
    ///
    /// # Errors
    /// If the id is taken, or something of it cannot be used.
    pub async fn add(
        &self,
        mut site: Site,
        is_public: bool,
    ) -> Result<(Site, Option<Secret>), Refusal> {
        let kept = self.store.sites().await?;
        let is_there = self.sites.is_settled(&site.id) || kept.iter().any(|one| one.id == site.id);
        if is_there && !Sites::is_own(&site.id) {
            return Err(Refusal::Taken);
        }
        let secret = (!is_public).then(|| Secret::new(self.world));
        site.hashes = secret.iter().map(Secret::hashed).collect();
        let mut faults = self.faults(&site, &kept);
        if site.redirect_uris.is_empty() && site.forward_auth.is_empty() && !site.device {
            faults.push(Fault::new(
                "回调地址至少要有一个：登录的结果不会去别处",
                "redirect_uris: one at least; answers may go nowhere else",
            ));
        }
        if !faults.is_empty() {
            return Err(Refusal::Faults(faults));
        }
        if !self.store.add_site(&site, self.line("site.added", &site.id)).await? {
            return Err(Refusal::Taken);
        }
        self.look_again().await;
        Ok((site, secret))
    }

    /// Changes a site; what it is now.
    ///
    /// # Errors
    /// If there is none that can be changed, or something of it could not be used any more.
    pub async fn change(&self, id: &str, change: impl Fn(&mut Site)) -> Result<Site, Refusal> {
        self.checked(id, "site.changed", change).await
    }

    /// Changes whom a site lets in; logins that stand go on until they end.
    ///
    /// # Errors
    /// As [`Keeping::change`].
    pub async fn admit(
        &self,
        id: &str,
        admit: Admit,
        groups: Vec<String>,
    ) -> Result<Site, Refusal> {
        let change = |site: &mut Site| (site.admit, site.admit_groups) = (admit, groups.clone());
        self.checked(id, "site.door_changed", change).await
    }

    /// Makes a fresh secret for a site. The ones before it stay good unless `alone` is asked for, so that an application can
    /// be changed over without a gap.
    ///
    /// # Errors
    /// If there is no confidential site that can be changed.
    pub async fn secret(&self, id: &str, alone: bool) -> Result<(Site, Secret), Refusal> {
        let fresh = Secret::new(self.world);
        let add = |site: &mut Site, _: &[Site]| {
            if site.is_public() {
                return Err(Refusal::Public);
            }
            if alone {
                site.hashes.clear();
            }
            site.hashes.push(fresh.hashed());
            Ok(())
        };
        let site = self.swap(id, "site.secret_made", add).await?;
        Ok((site, fresh))
    }

    /// Gives a site another picture, or takes it away.
    ///
    /// # Errors
    /// If there is none that can be changed.
    pub async fn logo(&self, id: &str, logo: Logo) -> Result<Site, Refusal> {
        let hang = |site: &mut Site, _: &[Site]| {
            site.logo = logo.clone();
            Ok(())
        };
        self.swap(id, "site.logo_changed", hang).await
    }

    /// Opens the rainbow bridge for a site with a fresh key, which ends the one before, or shuts it.
    ///
    /// # Errors
    /// If there is none that can be changed.
    pub async fn rainbow(&self, id: &str, opens: bool) -> Result<Option<Secret>, Refusal> {
        let fresh = opens.then(|| Secret::new(self.world));
        let what = if opens { "site.rainbow_opened" } else { "site.rainbow_shut" };
        let turn = |site: &mut Site, _: &[Site]| {
            site.rainbow_hashes = fresh.iter().map(Secret::hashed).collect();
            Ok(())
        };
        self.swap(id, what, turn).await?;
        Ok(fresh)
    }

    /// Forgets a site; who was signed in there is signed in no more.
    ///
    /// # Errors
    /// If there is none that can be changed.
    pub async fn remove(&self, id: &str) -> Result<(), Refusal> {
        self.may_change(id)?;
        if !self.store.remove_site(id, self.line("site.removed", id)).await? {
            return Err(Refusal::Unknown);
        }
        self.look_again().await;
        Ok(())
    }

    /// Changes what can become wrong.
    async fn checked(
        &self,
        id: &str,
        what: &str,
        change: impl Fn(&mut Site),
    ) -> Result<Site, Refusal> {
        let change = |site: &mut Site, kept: &[Site]| {
            change(site);
            let faults = self.faults(site, kept);
            if faults.is_empty() { Ok(()) } else { Err(Refusal::Faults(faults)) }
        };
        self.swap(id, what, change).await
    }

    /// Changes a site as it is kept now: what a node remembers of it may be a second old, and who changes it meanwhile is not
    /// undone.
    async fn swap(
        &self,
        id: &str,
        what: &str,
        change: impl Fn(&mut Site, &[Site]) -> Result<(), Refusal>,
    ) -> Result<Site, Refusal> {
        self.may_change(id)?;
        loop {
            let kept = self.store.sites().await?;
            let seen = kept.iter().find(|site| site.id == id).ok_or(Refusal::Unknown)?;
            let mut next = seen.clone();
            change(&mut next, &kept)?;
            if self.store.swap_site(seen, &next, self.line(what, id)).await? {
                self.look_again().await;
                return Ok(next);
            }
        }
    }

    fn may_change(&self, id: &str) -> Result<(), Refusal> {
        if Sites::is_own(id) {
            Err(Refusal::Own)
        } else if self.sites.is_settled(id) {
            Err(Refusal::Settled)
        } else {
            Ok(())
        }
    }

    /// What would be wrong with this site among the others.
    fn faults(&self, site: &Site, kept: &[Site]) -> Vec<Fault> {
        let version = site.env_version.and_then(|version| self.settings.fault_of_version(version));
        let settled = self.sites.settled_ones();
        let kept = kept.iter().filter(|one| one.id != site.id).chain([site]);
        let all = beside(settled.iter().map(AsRef::as_ref), kept);
        let twice = protected_twice(all.into_iter(), &self.settings.public_url);
        site.faults().into_iter().chain(version).chain(twice).collect()
    }

    fn line(&self, what: &str, id: &str) -> audit::Entry {
        audit::Entry::of_operator(self.world.now(), what, self.by).at_site(id.to_owned())
    }

    /// This node knows at once. Others do within two seconds, and this one too where the store is away just now: the change
    /// stands all the same.
    async fn look_again(&self) {
        if let Ok(kept) = self.store.sites().await {
            self.sites.keep(kept);
        }
    }
}
