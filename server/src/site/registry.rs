//! All sites there are, as a running server knows them.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use super::{CONSOLE, SELF, Site};
use crate::{admission::Admit, risk};

/// The registered sites by id: saoma's own, those of the settings, and those that commands keep in the store.
#[derive(Debug, Default)]
pub struct Sites {
    settled: RwLock<BTreeMap<String, Arc<Site>>>,
    kept: RwLock<BTreeMap<String, Arc<Site>>>,
}

impl Sites {
    /// These sites of the settings, and saoma itself at `public_url`.
    pub fn new(sites: impl IntoIterator<Item = Site>, public_url: &str) -> Self {
        let new = Self { settled: RwLock::default(), kept: RwLock::default() };
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
        let all = sites.into_iter().chain([own, console]);
        let settled = all.map(|site| (site.id.clone(), Arc::new(site))).collect();
        *self.settled.write().unwrap_or_else(PoisonError::into_inner) = settled;
    }

    /// Takes over what the store keeps now. A site of the settings stands before one of the same id in the store.
    pub fn keep(&self, sites: Vec<Site>) {
        let kept = sites.into_iter().map(|site| (site.id.clone(), Arc::new(site))).collect();
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// The site of this id.
    pub fn get(&self, id: &str) -> Option<Arc<Site>> {
        let kept = || self.kept.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        self.settled().get(id).cloned().or_else(kept)
    }

    /// The site of this id, if the settings name it.
    pub fn settled_site(&self, id: &str) -> Option<Arc<Site>> {
        self.settled().get(id).filter(|site| !Self::is_own(&site.id)).cloned()
    }

    /// Whether it is saoma itself, or its console.
    pub fn is_own(id: &str) -> bool {
        id == SELF || id == CONSOLE
    }

    /// Whether the settings name this site, so that no command can change it.
    pub fn is_settled(&self, id: &str) -> bool {
        self.settled().contains_key(id)
    }

    /// The sites of the settings, and saoma's own.
    pub fn settled_ones(&self) -> Vec<Arc<Site>> {
        self.settled().values().cloned().collect()
    }

    /// The site whose application is at this origin, behind a proxy that asks saoma.
    pub fn protecting(&self, origin: &str) -> Option<Arc<Site>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let settled = self.settled();
        let kept = kept.iter().filter(|(id, _)| !settled.contains_key(*id));
        let mut all = settled.values().chain(kept.map(|(_, site)| site));
        all.find(|site| site.protects(origin)).cloned()
    }

    /// Whether any site registered this origin.
    pub fn any_allows_origin(&self, origin: &str) -> bool {
        self.all().iter().any(|site| site.allows_origin(origin))
    }

    /// Whether any public site registered this origin: its pages redeem their codes themselves.
    pub fn any_public_allows_origin(&self, origin: &str) -> bool {
        self.all().iter().any(|site| site.is_public() && site.allows_origin(origin))
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<Site>> {
        let (settled, kept) =
            (self.settled(), self.kept.read().unwrap_or_else(PoisonError::into_inner));
        let kept = kept.iter().filter(|(id, _)| !settled.contains_key(*id));
        settled.values().cloned().chain(kept.map(|(_, site)| site.clone())).collect()
    }

    fn settled(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Site>>> {
        self.settled.read().unwrap_or_else(PoisonError::into_inner)
    }
}
