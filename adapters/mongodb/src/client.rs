//! The driver's client, which connects through the egress guard.
//!
//! The driver looks hosts up and connects by itself, also to hosts that only an SRV record or a replica
//! set names. It offers one place where that can be taken from it: a SOCKS5 proxy. So each client has a
//! [`GuardedProxy`] of its own, in this process, and hands it every name. What is connected to is what
//! was checked; the driver's events would tell of a host only while it is already being connected to.
//!
//! Unix sockets are what the driver connects to without its proxy. A URL with one is refused at start. A
//! replica set that names one is refused as a whole: no event is sent there, and the client is dropped. Until
//! it is, the driver may have said hello to the socket, which has nothing of a destination in it.

use crate::hosts::TCP_ONLY;
use laneway_domain::Cause;
use laneway_egress::{EgressPolicy, Guard, GuardedProxy};
use laneway_ports::is_shortage;
use mongodb::Client;
use mongodb::error::{Error, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, ReadPreference, SelectionCriteria, ServerAddress, Socks5Proxy};
use mongodb::{ServerInfo, ServerType};
use std::sync::{Arc, OnceLock};

/// The most of the guard's troubles that one reason quotes. The members of a replica set mostly have
/// the same one.
const MAX_TROUBLES: usize = 3;

/// A client, and the proxy through which it connects.
pub(crate) struct GuardedClient {
    client: Client,
    proxy: GuardedProxy,
    /// Where commands may be sent.
    criteria: SelectionCriteria,
    /// A Unix socket that the replica set named.
    socket: Arc<OnceLock<String>>,
}

impl GuardedClient {
    /// Makes a client that connects to what `egress` permits. Connects to nothing yet.
    pub(crate) async fn new(mut options: ClientOptions, egress: EgressPolicy) -> Result<Self, Error> {
        let proxy = GuardedProxy::start(Guard::new(egress)).await?;
        let (user, password) = proxy.login();
        let through = Socks5Proxy::builder()
            .host(proxy.address().ip().to_string())
            .port(proxy.address().port())
            .authentication((user.to_owned(), password.to_owned()))
            .build();
        options.socks5_proxy = Some(through);
        let socket = Arc::new(OnceLock::new());
        options.sdam_event_handler = Some(watch_for_sockets(Arc::clone(&socket)));
        let criteria = criteria(options.direct_connection == Some(true));
        options.selection_criteria = Some(criteria.clone());
        #[allow(clippy::disallowed_methods, reason = "this one connects through the guard")]
        let client = Client::with_options(options)?;
        Ok(Self { client, proxy, criteria, socket })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where commands have to be sent.
    pub(crate) fn criteria(&self) -> SelectionCriteria {
        self.criteria.clone()
    }

    /// Why this client must not be used any more, if that is so.
    pub(crate) fn refused(&self) -> Option<String> {
        let socket = self.socket.get()?;
        Some(format!("the replica set names the Unix socket {socket} as a member; {TCP_ONLY}"))
    }

    /// What the guard says of why there is no connection, if the driver's `error` may be about that: the
    /// driver knows only the number that SOCKS has for it. Beside it which end of an attempt that is.
    pub(crate) fn troubles(&self, error: &Error) -> Option<(Cause, String)> {
        let about_connections = matches!(
            &*error.kind,
            ErrorKind::ServerSelection { .. }
                | ErrorKind::ProxyConnect { .. }
                | ErrorKind::ConnectionPoolCleared { .. }
        );
        let troubles = self.proxy.troubles();
        if !about_connections || troubles.is_empty() {
            return None;
        }
        // As long as this process lacks something for one of the hosts, the others may be the wrong ones.
        let short = troubles.iter().any(|trouble| trouble.is_shortage(is_shortage));
        let said: Vec<String> = troubles.iter().take(MAX_TROUBLES).map(ToString::to_string).collect();
        Some((if short { Cause::Shortage } else { Cause::NotConnected }, said.join("; ")))
    }
}

/// Servers that take writes and are reached over TCP, so that no event is ever sent elsewhere. With
/// `directConnection` there is one server, the URL's, whatever it is.
fn criteria(direct: bool) -> SelectionCriteria {
    if direct {
        return SelectionCriteria::ReadPreference(ReadPreference::Primary);
    }
    SelectionCriteria::Predicate(Arc::new(|server: &ServerInfo<'_>| {
        let takes_writes = matches!(
            server.server_type(),
            ServerType::RsPrimary | ServerType::Standalone | ServerType::Mongos | ServerType::LoadBalancer
        );
        takes_writes && matches!(server.address(), ServerAddress::Tcp { .. })
    }))
}

/// Notes the first Unix socket that becomes a member of what the client knows.
fn watch_for_sockets(found: Arc<OnceLock<String>>) -> EventHandler<SdamEvent> {
    EventHandler::callback(move |event| {
        let SdamEvent::ServerOpening(opening) = event else { return };
        if !matches!(opening.address, ServerAddress::Tcp { .. }) {
            tracing::warn!(socket = %opening.address, "a MongoDB replica set names a Unix socket; it is not used");
            let _ = found.set(opening.address.to_string());
        }
    })
}
