//! Places for what stays open: each is held until it is given back.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{metrics::Hits, network::Network};

/// Places for what stays open, so many in all and so many for one address.
pub struct Places {
    most: usize,
    most_of_one: u32,
    taken: Mutex<Taken>,
    hits: Hits,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<Network, u32>,
}

/// A place that somebody has; dropping it gives it back.
pub struct Place {
    places: Arc<Places>,
    network: Option<Network>,
}

impl Places {
    /// So many in all, and so many for one address.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        let most_of_one = u32::try_from(most_of_one).unwrap_or(u32::MAX);
        Self { most, most_of_one, taken: Mutex::default(), hits: Hits::default() }
    }

    /// The same, counting here whom it turns away.
    #[must_use]
    pub fn counted(self, hits: Hits) -> Self {
        Self { hits, ..self }
    }

    /// A place for this address; for none, one that counts only in all: what a trusted proxy opens is not one caller's.
    pub fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let network = address.map(Network::of);
        let mut taken = self.taken();
        if taken.all >= self.most {
            self.hits.hit("sockets");
            return None;
        }
        if let Some(network) = network {
            let of_one = taken.by.entry(network).or_default();
            if *of_one >= self.most_of_one {
                self.hits.hit("sockets_per_address");
                return None;
            }
            *of_one += 1;
        }
        taken.all += 1;
        Some(Place { places: self.clone(), network })
    }

    /// How many there are.
    pub fn in_all(&self) -> usize {
        self.most
    }

    /// How many are taken.
    pub fn taken_in_all(&self) -> usize {
        self.taken().all
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(network) = self.network
            && let Some(of_one) = taken.by.get_mut(&network)
        {
            *of_one = of_one.saturating_sub(1);
            if *of_one == 0 {
                taken.by.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_nobody_has_them_all() {
        let places = Arc::new(Places::new(3, 2));
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let first = places.take(one).unwrap();
        let _second = places.take(one).unwrap();
        assert!(places.take(one).is_none(), "two are all that one address gets");
        let _third = places.take(other).unwrap();
        assert!(places.take(None).is_none(), "three are all there are");
        drop(first);
        assert!(places.take(one).is_some());
        assert_eq!(places.taken_in_all(), 2);
        assert_eq!(places.taken().by.len(), 2, "who has none is not remembered");
    }
}
