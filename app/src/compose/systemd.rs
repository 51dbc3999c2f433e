//! What a service manager is told that asks for it (`Type=notify` and `WatchdogSec=` of a systemd unit): datagrams to
//! the socket that it names, as sd_notify(3) describes them. Where nobody asks, nothing is done.

use crate::worker::Handle;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// The shortest time between two signs of life: a watchdog that wants them more often gets them as often.
const MOST_OFTEN: Duration = Duration::from_millis(10);

/// The way to the service manager, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceManager {
    socket: Option<Arc<UnixDatagram>>,
    /// How long it waits for a sign of life before it ends the process.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the variables `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub(super) fn named_by(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::default() };
        let socket = match connect(name.as_bytes()) {
            Ok(socket) => Some(Arc::new(socket)),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used: the service manager is told nothing");
                None
            }
        };
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        // The variables are inherited; they may be meant for another process.
        let meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| meant && *micros > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// The process can be used.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It has begun to stop.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is in flight");
    }

    /// Gives signs of life for as long as it is polled: while the worker, if the process has one, still answers.
    pub(super) async fn keep_alive(self, worker: Option<Handle>) {
        let Some(every) = self.watchdog.map(|watchdog| (watchdog / 2).max(MOST_OFTEN)) else { return };
        let mut rounds = tokio::time::interval(every);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let alive = match &worker {
                Some(worker) => worker.answers().await,
                None => true,
            };
            if alive {
                self.tell("WATCHDOG=1");
            } else {
                tracing::error!("the worker does not answer: the service manager gets no sign of life");
            }
        }
    }

    fn tell(&self, message: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(message.as_bytes())) {
            tracing::warn!(%error, "the service manager could not be told something");
        }
    }
}

/// A path, or with an `@` before it a name in Linux's abstract namespace.
fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A manager that takes nothing must not hold the process up.
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address(name)?)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    fn variables(all: &[(&str, String)]) -> ServiceManager {
        let found = |name: &str| all.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        ServiceManager::named_by(found)
    }

    #[test]
    fn it_is_told_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        let manager = variables(&[("NOTIFY_SOCKET", path.to_str().unwrap().to_owned())]);
        manager.ready("listening");
        manager.stopping();
        assert_eq!(received(&at_path), "READY=1\nSTATUS=listening");
        assert!(received(&at_path).starts_with("STOPPING=1\n"));
        #[cfg(target_os = "linux")]
        {
            let name = format!("@laneway-test-{}", std::process::id());
            let abstract_one = UnixDatagram::bind_addr(&address(name.as_bytes()).unwrap()).unwrap();
            variables(&[("NOTIFY_SOCKET", name)]).ready("x");
            assert_eq!(received(&abstract_one), "READY=1\nSTATUS=x");
        }
    }

    #[tokio::test]
    async fn signs_of_life_are_given_to_who_asked_this_process_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let asked = |pid: u32| {
            variables(&[
                ("NOTIFY_SOCKET", path.to_str().unwrap().to_owned()),
                ("WATCHDOG_USEC", "20000".to_owned()),
                ("WATCHDOG_PID", pid.to_string()),
            ])
        };
        // Meant for another: it ends at once.
        asked(std::process::id() + 1).keep_alive(None).await;
        let signs = tokio::spawn(asked(std::process::id()).keep_alive(None));
        let two = tokio::task::spawn_blocking(move || [received(&socket), received(&socket)]).await.unwrap();
        assert_eq!(two, ["WATCHDOG=1", "WATCHDOG=1"]);
        signs.abort();
        variables(&[]).keep_alive(None).await;
    }
}
