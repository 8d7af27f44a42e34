//! All sites there are, as a running server knows them.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{CONSOLE, SELF, Site};
use crate::{admission::Admit, config::EnvVersion, risk};

/// The sites of the settings, then those that commands and the console keep in the store. One of the settings stands before
/// one of the same id in the store.
pub fn beside<T: Borrow<Site>>(
    settled: impl IntoIterator<Item = T>,
    kept: impl IntoIterator<Item = T>,
) -> Vec<T> {
    let site = |one: &T| -> String { Borrow::<Site>::borrow(one).id.clone() };
    let mut all: Vec<T> = settled.into_iter().collect();
    let settled: BTreeSet<String> = all.iter().map(site).collect();
    all.extend(kept.into_iter().filter(|one| !settled.contains(&site(one))));
    all
}

/// The registered sites by id: saoma's own, those of the settings, and those that commands keep in the store.
#[derive(Debug, Default)]
pub struct Sites(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    settled: Vec<Arc<Site>>,
    kept: Vec<Arc<Site>>,
    /// Both, one beside the other.
    all: Vec<Arc<Site>>,
    by_id: BTreeMap<String, Arc<Site>>,
}

impl Known {
    fn gather(&mut self) {
        self.all = beside(self.settled.iter().cloned(), self.kept.iter().cloned());
        self.by_id = self.all.iter().map(|site| (site.id.clone(), site.clone())).collect();
    }

    fn settled_site(&self, id: &str) -> Option<&Arc<Site>> {
        self.settled.iter().find(|site| site.id == id)
    }
}

impl Sites {
    /// These sites of the settings, and saoma itself at `public_url`.
    pub fn new(sites: impl IntoIterator<Item = Site>, public_url: &str) -> Self {
        let new = Self::default();
        new.settle(sites, public_url);
        new
    }

    /// Takes over what the settings say now.
    pub fn settle(&self, sites: impl IntoIterator<Item = Site>, public_url: &str) {
        let mut own = Site::new(SELF, "saoma");
        own.redirect_uris = vec![format!("{public_url}/")];
        let mut console = Site::new(CONSOLE, "saoma 管理台 · console");
        console.risk = risk::Policy::High;
        // Owners, and nobody else.
        console.admit = Admit::Named;
        let mut settled: Vec<_> = sites.into_iter().chain([own, console]).map(Arc::new).collect();
        settled.sort_by(|one, other| one.id.cmp(&other.id));
        let mut known = self.write();
        known.settled = settled;
        known.gather();
    }

    /// Takes over what the store keeps now.
    pub fn keep(&self, sites: Vec<Site>) {
        let mut known = self.write();
        known.kept = sites.into_iter().map(Arc::new).collect();
        known.gather();
    }

    /// The site of this id.
    pub fn get(&self, id: &str) -> Option<Arc<Site>> {
        self.read().by_id.get(id).cloned()
    }

    /// The site of this id, if the settings name it.
    pub fn settled_site(&self, id: &str) -> Option<Arc<Site>> {
        self.read().settled_site(id).filter(|site| !Self::is_own(&site.id)).cloned()
    }

    /// Whether it is saoma itself, or its console.
    pub fn is_own(id: &str) -> bool {
        id == SELF || id == CONSOLE
    }

    /// Whether the settings name this site, so that no command can change it.
    pub fn is_settled(&self, id: &str) -> bool {
        self.read().settled_site(id).is_some()
    }

    /// The sites of the settings, and saoma's own.
    pub fn settled_ones(&self) -> Vec<Arc<Site>> {
        self.read().settled.clone()
    }

    /// The site whose application is at this origin, behind a proxy that asks saoma.
    pub fn protecting(&self, origin: &str) -> Option<Arc<Site>> {
        self.read().all.iter().find(|site| site.protects(origin)).cloned()
    }

    /// Whether any site registered this origin.
    pub fn any_allows_origin(&self, origin: &str) -> bool {
        self.read().all.iter().any(|site| site.allows_origin(origin))
    }

    /// Whether any public site registered this origin: its pages redeem their codes themselves.
    pub fn any_public_allows_origin(&self, origin: &str) -> bool {
        self.read().all.iter().any(|site| site.is_public() && site.allows_origin(origin))
    }

    /// Which versions of the mini program some site opens that does not go by the settings.
    pub fn versions(&self) -> BTreeSet<EnvVersion> {
        self.read().all.iter().filter_map(|site| site.env_version).collect()
    }

    /// All of them: those of the settings by id, then the others.
    pub fn all(&self) -> Vec<Arc<Site>> {
        self.read().all.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_of_the_settings_stands_before_one_of_the_store_for_as_long_as_it_is_there() {
        let site = |id: &str, name: &str| {
            let forward_auth = vec!["https://wiki.example.com".to_owned()];
            Site { forward_auth, ..Site::new(id, name) }
        };
        let sites = Sites::new([site("wiki", "Of the settings")], "https://login.example.com");
        sites.keep(vec![site("a", "Another"), site("wiki", "Of the store")]);
        let name = |sites: &Sites| sites.get("wiki").unwrap().name.clone();
        assert_eq!(name(&sites), "Of the settings");
        let protecting = sites.protecting("https://wiki.example.com").unwrap();
        assert_eq!(protecting.name, "Of the settings");
        let all = sites.all();
        let ids: Vec<_> = all.iter().map(|site| site.id.as_str()).collect();
        assert_eq!(ids, [SELF, CONSOLE, "wiki", "a"]);
        sites.settle([], "https://login.example.com");
        assert_eq!(name(&sites), "Of the store");
    }
}
