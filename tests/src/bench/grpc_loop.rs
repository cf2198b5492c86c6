//! The closed loop over gRPC: one channel for each client, one call for each message outstanding on it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail};
use proto::chat::chat_service_client::ChatServiceClient;
use proto::chat::{LoginRequest, SendMessageRequest, StartChatRequest};
use tokio::task::LocalSet;
use tonic::transport::{Channel, Endpoint};

use super::closed_loop::{Plan, Recorder, Row, meter};
use super::usage::Usage;
use super::{CONVERSATIONS, TEXT_BYTES, receiver, sender};
use crate::cluster::Node;
use crate::legacy_client::password;
use crate::now;

/// Measures against `target`, on one thread like the other loop.
pub(super) fn run(target: SocketAddr, nodes: &[Node], plan: Plan) -> Result<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, measure(target, nodes, plan))
}

async fn measure(target: SocketAddr, nodes: &[Node], plan: Plan) -> Result<Row> {
    let mut clients = Vec::new();
    for place in 0..plan.connections {
        clients.push(open(target, place).await?);
    }
    let recorder = Rc::new(RefCell::new(Recorder::new(plan)));
    let mut workers = tokio::task::JoinSet::new();
    for (client, requests) in clients {
        for first in 0..plan.window {
            let (client, requests) = (client.clone(), requests.clone());
            workers.spawn_local(work(client, requests, first, recorder.clone()));
        }
    }
    let (from, to) = (recorder.borrow().from, recorder.borrow().to);
    let measured: Usage = tokio::select! {
        ended = workers.join_next() => match ended {
            Some(Ok(Err(error))) => return Err(error),
            other => bail!("a client has ended: {other:?}"),
        },
        measured = async {
            tokio::time::sleep_until(from.into()).await;
            let meter = meter(nodes);
            tokio::time::sleep_until(to.into()).await;
            meter.read()
        } => measured,
    };
    let row = recorder.borrow().row(plan, measured);
    Ok(row)
}

/// Logs in on a channel of its own and makes the requests, one for each conversation.
async fn open(target: SocketAddr, place: usize) -> Result<(ChatServiceClient<Channel>, Rc<[SendMessageRequest]>)> {
    let channel = Endpoint::from_shared(format!("http://{target}"))?.connect().await?;
    let mut client = ChatServiceClient::new(channel);
    let me = sender(place);
    let login = LoginRequest { username: me.clone(), password: password(&me) };
    let reply = client.login(login).await.context("logging in")?.into_inner();
    if !reply.success {
        bail!("logging in: {}", reply.error_message);
    }
    let mut requests = Vec::new();
    for conversation in 0..CONVERSATIONS {
        let other_user = receiver((conversation + place) % CONVERSATIONS);
        let start = StartChatRequest { current_user: me.clone(), other_user };
        let reply = client.start_chat(start).await.context("opening a conversation")?.into_inner();
        let chat = reply.chat.ok_or_else(|| anyhow!("opening a conversation: {}", reply.error_message))?;
        let content = "x".repeat(TEXT_BYTES);
        requests.push(SendMessageRequest { chat_id: chat.chat_id, sender: me.clone(), content });
    }
    Ok((client, requests.into()))
}

/// Sends one message after the other.
async fn work(
    mut client: ChatServiceClient<Channel>,
    requests: Rc<[SendMessageRequest]>,
    first: usize,
    recorder: Rc<RefCell<Recorder>>,
) -> Result<()> {
    for request in requests.iter().cycle().skip(first) {
        let started = now();
        let reply = client.send_chat_message(request.clone()).await?.into_inner();
        if !reply.success {
            bail!("instead of an acknowledgement: {}", reply.error_message);
        }
        let mut recorder = recorder.borrow_mut();
        recorder.last = now();
        recorder.done(started);
    }
    Ok(())
}
