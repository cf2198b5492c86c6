//! Who calls: what the connection and the metadata of a call say about it.

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use wire::chat::Code;

use super::convert::refusal;
use super::socket::Peer;
use crate::bridge::Security;
use crate::config::args::LegacyGrpc;
use crate::service::bearer::{self, Bearer};
use crate::service::legacy::calls::{Rejection, Whence};

/// One who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    peer: Peer,
    pub(super) bearer: Option<Bearer>,
}

impl Caller {
    /// Takes a request apart.
    ///
    /// # Errors
    /// What it shows as a token is none.
    pub(super) fn of<T>(request: Request<T>) -> Result<(Caller, T), Status> {
        let bearer = bearer_of(request.metadata())?;
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("a call without a connection"))?;
        Ok((Caller { peer, bearer }, request.into_inner()))
    }

    /// What protects it.
    pub(super) fn secure(&self) -> Security {
        self.peer.secure
    }

    /// Where it comes from, as far as that says who may act there.
    pub(super) fn whence(&self, legacy: LegacyGrpc) -> Whence {
        match legacy {
            LegacyGrpc::Address => Whence::Address(self.peer.address.ip()),
            LegacyGrpc::Connection => Whence::Connection(Arc::clone(&self.peer.connection)),
            LegacyGrpc::Off => Whence::Nowhere,
        }
    }
}

fn bearer_of(metadata: &MetadataMap) -> Result<Option<Bearer>, Status> {
    let Some(value) = metadata.get("authorization") else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let bearer = token.and_then(|token| token.parse().ok());
    bearer.map(Some).ok_or_else(|| refusal(Code::BadToken, bearer::UNREADABLE))
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Status {
        match rejection {
            Rejection::Unauthenticated(why) => refusal(Code::NotLoggedIn, &why),
            Rejection::BadToken(why) => refusal(Code::BadToken, why),
            Rejection::Denied(why) => Status::permission_denied(why),
            Rejection::NotNow(why) => refusal(Code::Unavailable, &why),
        }
    }
}
