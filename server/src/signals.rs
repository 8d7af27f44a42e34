//! What the system says to a running server, and what it wants to hear from it.

#[cfg(unix)]
use std::io;

use tokio::signal;

/// SIGHUP, which asks a server to read its settings again. Where there is no such thing nobody asks.
pub struct Hangups(#[cfg(unix)] signal::unix::Signal);

impl Hangups {
    /// From now on they end no process.
    ///
    /// # Errors
    /// What the system says.
    pub fn open() -> Result<Self, String> {
        #[cfg(unix)]
        return signal::unix::signal(signal::unix::SignalKind::hangup())
            .map(Self)
            .map_err(|error| error.to_string());
        #[cfg(not(unix))]
        Ok(Self())
    }

    /// Returns at the next.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.0.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}

/// Done at Ctrl-C, or when the system asks. From this call on neither ends the process by itself.
pub fn asked_to_stop() -> impl Future<Output = ()> {
    #[cfg(unix)]
    {
        use signal::unix::{Signal, SignalKind, signal};
        async fn heard(signal: io::Result<Signal>) {
            match signal {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        }
        let (interrupt, terminate) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        async {
            tokio::select! {
                () = heard(interrupt) => {}
                () = heard(terminate) => {}
            }
        }
    }
    #[cfg(not(unix))]
    async {
        let _ = signal::ctrl_c().await;
    }
}

/// What systemd's `Type=notify` waits for (`sd_notify(3)`); nothing where nobody asked for it.
pub fn tell_systemd(state: &str) {
    #[cfg(unix)]
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Custom(state)]) {
        tracing::warn!(name: "systemd.untold", %error, "systemd could not be told");
    }
    #[cfg(not(unix))]
    let _ = state;
}
