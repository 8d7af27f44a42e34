//! A gate for TCP: a proxy in front of some servers, which can be shut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Lets connections through to whichever of its servers takes them, in turn. Dropping it ends nothing: it lives as long
/// as the test.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    servers: Arc<[SocketAddr]>,
    open: Arc<watch::Sender<bool>>,
    dead: Arc<watch::Sender<()>>,
}

impl Gate {
    pub(crate) async fn before(servers: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self {
            address: listener.local_addr().unwrap(),
            servers: servers.into(),
            open: Arc::new(watch::Sender::new(true)),
            dead: Arc::default(),
        };
        let own = gate.clone();
        tokio::spawn(async move {
            let turn = Arc::new(AtomicUsize::new(0));
            while let Ok((client, _)) = listener.accept().await {
                let (own, turn) = (own.clone(), turn.clone());
                tokio::spawn(async move { own.lets_through(client, &turn).await });
            }
        });
        gate
    }

    /// Ends every connection and lets none through until it opens again.
    pub(crate) fn shuts(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn opens(&self) {
        self.open.send_replace(true);
    }

    /// Every connection there is stays, and brings nothing any more. New ones are as ever.
    pub(crate) fn deadens(&self) {
        self.dead.send_replace(());
    }

    async fn lets_through(&self, mut client: TcpStream, turn: &AtomicUsize) {
        let (mut open, mut dead) = (self.open.subscribe(), self.dead.subscribe());
        if !*open.borrow_and_update() {
            return;
        }
        for _ in 0..self.servers.len() {
            let next = turn.fetch_add(1, Ordering::Relaxed) % self.servers.len();
            let Some(server) = self.servers.get(next) else { return };
            if let Ok(mut server) = TcpStream::connect(server).await {
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let is_dead = tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => false,
                    _ = open.wait_for(|open| !open) => false,
                    _ = dead.changed() => true,
                };
                if is_dead {
                    std::future::pending::<()>().await;
                }
                return;
            }
        }
    }
}
