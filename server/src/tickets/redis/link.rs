//! A connection to Redis or to a cluster of it, which mends itself.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Client, Cmd, IntoConnectionInfo as _, Pipeline, RedisError, RedisFuture, RedisResult,
    TlsCertificates, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use crate::{tickets::Error, world::Stopwatch};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);

/// How old a connection must be before it is given up for another: where nothing better is to be had, Redis is not to be
/// kept busy with greetings.
const YOUNG: Duration = Duration::from_millis(250);

/// What a server says that was the primary when the connection was made and is no more.
const DEMOTED: [&str; 3] = ["READONLY", "UNBLOCKED", "MASTERDOWN"];

/// Where Redis is. Two parameters of the URL are read here: `cluster=true`, where further hosts may follow the first after
/// commas, and `sslrootcert`, a file of certificates to trust in the place of the machine's.
pub(super) struct Address {
    nodes: Vec<String>,
    cluster: bool,
    roots: Option<Vec<u8>>,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut cluster, mut roots) = (false, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("cluster", "true")) => cluster = true,
                Some(("sslrootcert", file)) => {
                    let read = std::fs::read(file);
                    roots =
                        Some(read.map_err(|error| Error(format!("sslrootcert={file}: {error}")))?);
                }
                _ => {
                    let name = pair.split('=').next().unwrap_or_default();
                    return Err(Error(format!(
                        "{name} is no parameter of a Redis URL here: there are cluster=true and sslrootcert=FILE"
                    )));
                }
            }
        }
        let nodes = if cluster { each_node(base) } else { vec![base.to_owned()] };
        for node in &nodes {
            Client::open(node.as_str()).map_err(|_| {
                Error("this is no URL of a Redis: write redis://:password@host:6379, or rediss:// by TLS; what is special in the password percent-encoded (/ is %2F, @ is %40)".to_owned())
            })?;
        }
        Ok(Self { nodes, cluster, roots })
    }

    /// Connects; an answer that takes longer than `patience` is an error.
    pub(super) async fn connect(&self, patience: Duration) -> Result<Link, Error> {
        self.connected(patience).await.map_err(|error| self.told(error))
    }

    /// What went wrong with a connection that was never made. Who waits for TLS hangs up on who does not speak it, or says
    /// nothing.
    fn told(&self, error: RedisError) -> Error {
        let by_tls = self
            .nodes
            .iter()
            .any(|node| ["rediss:", "valkeys:"].iter().any(|by| node.starts_with(by)));
        let refused = error.is_connection_refusal();
        let hung_up = error.is_timeout() || error.is_connection_dropped() && !refused;
        let hint = match by_tls {
            true if hung_up || error.to_string().contains("corrupt message") => {
                "; where it does not speak TLS, write redis://"
            }
            false if error.is_io_error() && hung_up => "; where it wants TLS, write rediss://",
            _ => "",
        };
        let Error(why) = error.into();
        Error(why + hint)
    }

    async fn connected(&self, patience: Duration) -> Result<Link, RedisError> {
        // Whatever else is linked in: this is what all of saoma speaks TLS with. It may be installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certs = || TlsCertificates { client_tls: None, root_cert: self.roots.clone() };
        if self.cluster {
            let mut builder = ClusterClient::builder(self.nodes.clone())
                .connection_timeout(CONNECT)
                .response_timeout(patience)
                .tcp_settings(tcp())
                .retries(2);
            if self.roots.is_some() {
                builder = builder.certs(certs());
            }
            return Ok(Link::Cluster(builder.build()?.get_async_connection().await?));
        }
        let url = self.nodes.first().map_or("", String::as_str);
        let place = url.into_connection_info()?.set_tcp_settings(tcp());
        let client = match &self.roots {
            Some(_) => Client::build_with_tls(place, certs())?,
            None => Client::open(place)?,
        };
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(patience))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(100));
        let link = ConnectionManager::new_with_config(client.clone(), config.clone()).await?;
        Ok(Link::One(Arc::new(One { client, config, made: Mutex::new(Made::now(link)) })))
    }
}

/// Where the other side is gone without a word the kernel says so within seconds, and not after a quarter of an hour.
fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(3));
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Duration::from_secs(5));
    settings
}

/// `redis://user:password@one:1,two:2/` is one URL for each host.
fn each_node(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (who, places) = match rest.rsplit_once('@') {
        Some((who, places)) => (format!("{who}@"), places),
        None => (String::new(), rest),
    };
    let places = places.trim_end_matches('/').split(',');
    places.map(|place| format!("{scheme}://{who}{place}")).collect()
}

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum Link {
    One(Arc<One>),
    Cluster(ClusterConnection),
}

/// A connection to one server. One that ends is made anew by its manager; one that stands and is good for nothing is given
/// up here, and what is asked next goes by another.
pub(super) struct One {
    client: Client,
    config: ConnectionManagerConfig,
    made: Mutex<Arc<Made>>,
}

struct Made {
    link: ConnectionManager,
    at: Stopwatch,
}

impl Made {
    fn now(link: ConnectionManager) -> Arc<Self> {
        Arc::new(Self { link, at: Stopwatch::start() })
    }
}

impl One {
    fn made(&self) -> MutexGuard<'_, Arc<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T, F: Future<Output = RedisResult<T>>>(
        &self,
        ask: impl FnOnce(ConnectionManager) -> F,
        is_good: impl Fn(&RedisResult<T>) -> bool,
    ) -> RedisResult<T> {
        let used = self.made().clone();
        let answer = ask(used.link.clone()).await;
        if !is_good(&answer) && used.at.elapsed() >= YOUNG {
            self.give_up(&used);
        }
        answer
    }

    /// Of many who wait on a connection in vain one gives it up.
    fn give_up(&self, used: &Arc<Made>) {
        let mut made = self.made();
        let again = (self.client.clone(), self.config.clone());
        if Arc::ptr_eq(&made, used)
            && let Ok(link) = ConnectionManager::new_lazy_with_config(again.0, again.1)
        {
            *made = Made::now(link);
        }
    }
}

/// Whether who failed so may be asked again: it has answered in time, and not that it is no primary any more.
fn goes_on(error: &RedisError) -> bool {
    let said = error.clone().into_server_errors();
    let is_demoted =
        said.iter().flat_map(|all| all.iter()).any(|(_, one)| DEMOTED.contains(&one.code()));
    !error.is_timeout() && !is_demoted
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => Box::pin(one.ask(
                move |mut link| async move { link.req_packed_command(cmd).await },
                |answer| match answer {
                    Ok(Value::ServerError(error)) => !DEMOTED.contains(&error.code()),
                    Ok(_) => true,
                    Err(error) => goes_on(error),
                },
            )),
            Self::Cluster(link) => link.req_packed_command(cmd),
        }
    }

    /// Each of ours is one transaction: what its server refuses is an error of the whole.
    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => {
                Box::pin(one.ask(
                    move |mut link| async move {
                        link.req_packed_commands(pipeline, offset, count).await
                    },
                    |answer| answer.as_ref().err().is_none_or(goes_on),
                ))
            }
            Self::Cluster(link) => link.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.made().link.get_db(),
            Self::Cluster(link) => link.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_by_some_of_its_nodes() {
        let address = Address::parse("rediss://me:secret@one:1,two:2/?cluster=true").unwrap();
        assert!(address.cluster);
        assert_eq!(address.nodes, ["rediss://me:secret@one:1", "rediss://me:secret@two:2"]);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in
            ["redis://:hush-hush@one/?colour=red", "redis://:hush-hush@one/?sslrootcert=/nowhere"]
        {
            let said = Address::parse(url).err().unwrap().to_string();
            assert!(!said.contains("hush"), "{said}");
        }
    }
}
