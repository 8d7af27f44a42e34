//! What a request may touch.

use std::sync::Arc;

use crate::{
    codes::Codes, config::Settings, keys::Keys, limits::Limits, metrics::Metrics,
    neighbours::Neighbours, region::Regions, site::Sites, store::SharedStore,
    tickets::SharedTickets, waiting::Waiting, world::World,
};

/// Everything a running server consists of, shared by all its requests.
pub struct App {
    /// What it runs by.
    pub settings: Settings,
    /// Time and dice.
    pub world: World,
    /// What is kept for good.
    pub store: SharedStore,
    /// What lives minutes.
    pub tickets: SharedTickets,
    /// The pages that wait.
    pub waiting: Arc<Waiting>,
    /// WeChat's server API.
    pub wechat: wechat::Client,
    /// Mini program codes.
    pub codes: Codes,
    /// Signing keys.
    pub keys: Keys,
    /// The sites that people sign in to.
    pub sites: Sites,
    /// How much of everything.
    pub limits: Limits,
    /// Where addresses are.
    pub regions: Regions,
    /// Which token other services were given.
    pub neighbours: Neighbours,
    /// What is counted.
    pub metrics: Metrics,
}

/// The app as requests hold it.
pub type SharedApp = Arc<App>;
