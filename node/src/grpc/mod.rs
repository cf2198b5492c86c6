//! gRPC, on the port of everything else: the poll thread hands connections over that begin with HTTP/2, and TLS
//! connections that ask for it by name. One thread of its own serves them, so that what strangers send never stands
//! between the nodes' heartbeats.
//!
//! Reading order:
//!
//! * [`socket`]: what is handed over, and how many there may be.
//! * [`gate`]: what holds for every call: refused connections, bounds.
//! * [`caller`]: who calls.
//! * [`original`], [`replication`]: the packages of the original's clients.
//! * [`dialect`], [`convert`], [`call`], [`events`], [`writes`]: our own dialect as package `samira.v2`. A call is a short session of
//!   SAMIRA/2 inside this process, so that no rule is written twice.
//!
//! Nothing here decides anything about the chat: requests go to [`crate::service`], and what comes back is told in
//! protocol buffers.

mod call;
mod caller;
mod convert;
mod dialect;
mod events;
mod gate;
mod original;
mod replication;
mod socket;
mod writes;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use proto::chat::chat_service_server::{ChatServiceServer, SERVICE_NAME as ORIGINAL};
use proto::replication::replication_service_server::ReplicationServiceServer;
use proto::v2::chat_server::{ChatServer, SERVICE_NAME as DIALECT};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use self::call::Calls;
use self::gate::Gate;
use crate::bridge::HandedOver;
use crate::config::args::LegacyGrpc;
use crate::limits::{
    GRPC_CALLS_PER_CONNECTION_MAX, GRPC_HANDED_OVER_MAX, GRPC_HEADER_BYTES_MAX, GRPC_KEEP_ALIVE,
    GRPC_KEEP_ALIVE_TIMEOUT, GRPC_REQUEST_BYTES_MAX, GRPC_WINDOW_BYTES, SHUTDOWN_PATIENCE,
};
use crate::raft::leader::Leadership;
use crate::service::{OriginalCalls, Whom};

pub use self::call::CallPort;

/// What gRPC works with.
#[derive(Debug)]
pub struct Parts {
    /// Connections that speak HTTP/2.
    pub handed_over: mpsc::Receiver<HandedOver>,
    /// Certificate and key for those in TLS.
    pub tls: Arc<rustls::ServerConfig>,
    /// Takes calls of the original's package.
    pub original: OriginalCalls,
    /// Takes calls of our own dialect.
    pub calls: CallPort,
    /// Who leads, and who else there is.
    pub leadership: Leadership,
    /// Who we are.
    pub whom: Whom,
    /// How callers of the original's package are known.
    pub legacy: LegacyGrpc,
}

/// The running gRPC thread.
#[derive(Debug)]
pub struct GrpcHandle {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Starts the thread.
///
/// # Errors
/// The system refuses a thread or a poller.
pub fn start(parts: Parts) -> io::Result<GrpcHandle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = watch::channel(false);
    let thread = thread::Builder::new().name("grpc".into()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(parts, stopped)) {
            tracing::error!(%error, "gRPC ends");
        }
    })?;
    Ok(GrpcHandle { stop, thread })
}

impl GrpcHandle {
    /// Takes no more calls, lets those under way come to their end, and closes, after `SHUTDOWN_PATIENCE` at the latest.
    pub fn shutdown(self) {
        // The thread may have ended.
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the gRPC thread had panicked");
        }
    }
}

async fn serve(parts: Parts, stopped: watch::Receiver<bool>) -> Result<(), tonic::transport::Error> {
    let Parts { handed_over, tls, original, calls, leadership, whom, legacy } = parts;
    let original = Arc::new(original);
    let calls = Calls::new(calls, original.clone(), stopped.clone());
    let (ready, incoming) = mpsc::channel(GRPC_HANDED_OVER_MAX);
    tokio::spawn(socket::accept(handed_over, tls, ready));

    let (health, health_service) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(health, leadership.clone()));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut server = Server::builder()
        .layer(tower::layer::layer_fn(Gate::new))
        .max_concurrent_streams(GRPC_CALLS_PER_CONNECTION_MAX)
        .http2_max_header_list_size(GRPC_HEADER_BYTES_MAX)
        .initial_stream_window_size(GRPC_WINDOW_BYTES)
        .initial_connection_window_size(GRPC_WINDOW_BYTES)
        .http2_keepalive_interval(Some(GRPC_KEEP_ALIVE))
        .http2_keepalive_timeout(Some(GRPC_KEEP_ALIVE_TIMEOUT));
    let chat = original::Original::new(original, legacy);
    let replication = replication::Observer::new(leadership, whom);
    let dialect = dialect::Dialect::new(calls);
    let mut router = server
        .add_service(ChatServiceServer::new(chat).max_decoding_message_size(GRPC_REQUEST_BYTES_MAX))
        .add_service(ReplicationServiceServer::new(replication).max_decoding_message_size(GRPC_REQUEST_BYTES_MAX))
        .add_service(ChatServer::new(dialect).max_decoding_message_size(GRPC_REQUEST_BYTES_MAX))
        .add_service(health_service);
    // The schemas are part of the build: that they can be read is known from the tests.
    if let (Ok(v1), Ok(v1alpha)) = (reflection().build_v1(), reflection().build_v1alpha()) {
        router = router.add_service(v1).add_service(v1alpha);
    }
    let stopping = |mut stopped: watch::Receiver<bool>| async move {
        // Without a sender it has stopped.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let served = router.serve_with_incoming_shutdown(ReceiverStream::new(incoming), stopping(stopped.clone()));
    tokio::select! {
        served = served => served,
        () = async { stopping(stopped).await; tokio::time::sleep(SHUTDOWN_PATIENCE).await } => Ok(()),
    }
}

/// Serving is who knows a leader; reads go on without one, and so the server as a whole does.
async fn report_health(health: HealthReporter, mut leadership: Leadership) {
    loop {
        let status = if leadership.leader().is_some() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in [ORIGINAL, DIALECT] {
            health.set_service_status(service, status).await;
        }
        leadership.changed().await;
    }
}
