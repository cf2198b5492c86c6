//! Package `samira.v2`: each call is a request of our own dialect.

use proto::v2 as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::chat::item::Mark;
use wire::chat::{List, Reply, Request as Asked, request};

use super::call::Calls;
use super::caller::Caller;
use super::{convert, events, writes};
use crate::service::bearer::Bearer;

/// Takes the calls.
pub(super) struct Dialect {
    calls: Calls,
}

type Answer<T> = Result<Response<T>, Status>;

impl Dialect {
    pub(super) fn new(calls: Calls) -> Dialect {
        Dialect { calls }
    }

    /// A way in.
    async fn enter(&self, caller: &Caller, request: Asked<'_>) -> Answer<pb::Session> {
        let session = self.calls.ask(caller.secure(), None, request, |reply| match reply {
            Reply::Session(session) => Some(pb::Session {
                user: session.user,
                username: session.username.to_owned(),
                nickname: session.nickname.to_owned(),
                view_limit: session.view_limit,
                device: session.device,
                token: session.token.map(|token| Bearer { device: session.device, token }.text()).unwrap_or_default(),
                last_seq: session.last_seq,
                stale: session.stale,
            }),
            _ => None,
        });
        session.await.map(Response::new)
    }

    /// A request of who shows the token.
    async fn ask<T>(
        &self,
        caller: &Caller,
        request: Asked<'_>,
        read: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Answer<T> {
        let who = self.calls.identify(caller).await?;
        self.calls.ask(caller.secure(), Some(who), request, read).await.map(Response::new)
    }

    async fn done(&self, caller: &Caller, request: Asked<'_>) -> Answer<pb::Done> {
        self.ask(caller, request, |reply| matches!(reply, Reply::Done(_)).then_some(pb::Done {})).await
    }
}

fn messages(reply: Reply<'_>) -> Option<pb::Messages> {
    match reply {
        Reply::Messages(found) => Some(convert::messages(&found)),
        _ => None,
    }
}

fn count(reply: Reply<'_>) -> Option<pb::Count> {
    match reply {
        Reply::Removed(count) | Reply::Lost(count) => Some(pb::Count { count: count.count }),
        _ => None,
    }
}

#[tonic::async_trait]
impl pb::chat_server::Chat for Dialect {
    // ---- accounts ----

    async fn sign_up(&self, request: Request<pb::SignUpRequest>) -> Answer<pb::Session> {
        let (caller, pb::SignUpRequest { username, nickname, password, device_name }) = Caller::of(request)?;
        let asked = request::Signup {
            username: &username,
            nickname: &nickname,
            password: &password,
            device_name: &device_name,
        };
        self.enter(&caller, Asked::Signup(asked)).await
    }

    async fn log_in(&self, request: Request<pb::LogInRequest>) -> Answer<pb::Session> {
        let (caller, pb::LogInRequest { username, password, device, device_name }) = Caller::of(request)?;
        let asked = request::Login { username: &username, password: &password, device, device_name: &device_name };
        self.enter(&caller, Asked::Login(asked)).await
    }

    async fn log_out(&self, request: Request<pb::LogOutRequest>) -> Answer<pb::Done> {
        let (caller, pb::LogOutRequest {}) = Caller::of(request)?;
        self.done(&caller, Asked::Logout(request::Nothing {})).await
    }

    async fn get_account(&self, request: Request<pb::GetAccountRequest>) -> Answer<pb::Account> {
        let (caller, pb::GetAccountRequest {}) = Caller::of(request)?;
        let asked = Asked::Account(request::Nothing {});
        self.ask(&caller, asked, |reply| match reply {
            Reply::Profile(account) => Some(convert::account(&account)),
            _ => None,
        })
        .await
    }

    async fn set_nickname(&self, request: Request<pb::SetNicknameRequest>) -> Answer<pb::Done> {
        let (caller, pb::SetNicknameRequest { nickname, seq }) = Caller::of(request)?;
        self.done(&caller, Asked::Nickname(request::Nickname { nickname: &nickname, seq })).await
    }

    async fn set_view_limit(&self, request: Request<pb::SetViewLimitRequest>) -> Answer<pb::Done> {
        let (caller, pb::SetViewLimitRequest { view_limit, seq }) = Caller::of(request)?;
        self.done(&caller, Asked::ViewLimit(request::ViewLimit { view_limit, seq })).await
    }

    async fn change_password(&self, request: Request<pb::ChangePasswordRequest>) -> Answer<pb::Done> {
        let (caller, pb::ChangePasswordRequest { password, new_password }) = Caller::of(request)?;
        let asked = request::Password { password: &password, new_password: &new_password };
        self.done(&caller, Asked::Password(asked)).await
    }

    async fn list_devices(&self, request: Request<pb::ListDevicesRequest>) -> Answer<pb::Devices> {
        let (caller, pb::ListDevicesRequest {}) = Caller::of(request)?;
        let asked = Asked::Devices(request::Nothing {});
        self.ask(&caller, asked, |reply| match reply {
            Reply::Devices(devices) => Some(convert::devices(&devices)),
            _ => None,
        })
        .await
    }

    async fn revoke_device(&self, request: Request<pb::RevokeDeviceRequest>) -> Answer<pb::Done> {
        let (caller, pb::RevokeDeviceRequest { device }) = Caller::of(request)?;
        self.done(&caller, Asked::Revoke(request::Revoke { device })).await
    }

    async fn delete_account(&self, request: Request<pb::DeleteAccountRequest>) -> Answer<pb::Count> {
        let (caller, pb::DeleteAccountRequest { password, confirm }) = Caller::of(request)?;
        let asked = request::DeleteAccount { password: &password, confirm };
        self.ask(&caller, Asked::DeleteAccount(asked), count).await
    }

    async fn find_people(&self, request: Request<pb::FindPeopleRequest>) -> Answer<pb::People> {
        let (caller, pb::FindPeopleRequest { pattern, skip, limit }) = Caller::of(request)?;
        let asked = Asked::Users(request::Users { pattern: &pattern, skip, limit });
        self.ask(&caller, asked, |reply| match reply {
            Reply::Users(users) => Some(convert::people(&users)),
            _ => None,
        })
        .await
    }

    // ---- conversations ----

    async fn list_conversations(&self, request: Request<pb::ListConversationsRequest>) -> Answer<pb::Conversations> {
        let (caller, pb::ListConversationsRequest { skip, limit }) = Caller::of(request)?;
        let asked = Asked::Conversations(request::Page { skip, limit });
        self.ask(&caller, asked, |reply| match reply {
            Reply::Conversations(found) => Some(convert::conversations(&found)),
            _ => None,
        })
        .await
    }

    async fn open_conversation(&self, request: Request<pb::OpenConversationRequest>) -> Answer<pb::Conversation> {
        let (caller, pb::OpenConversationRequest { username }) = Caller::of(request)?;
        let asked = Asked::Open(request::Open { username: &username });
        self.ask(&caller, asked, |reply| match reply {
            Reply::Opened(found) => Some(convert::conversation(&found)),
            _ => None,
        })
        .await
    }

    async fn next_unread(&self, request: Request<pb::NextUnreadRequest>) -> Answer<pb::Messages> {
        let (caller, pb::NextUnreadRequest { conversation, after }) = Caller::of(request)?;
        self.ask(&caller, Asked::Next(request::Next { conversation, after }), messages).await
    }

    async fn get_history(&self, request: Request<pb::GetHistoryRequest>) -> Answer<pb::Messages> {
        let (caller, pb::GetHistoryRequest { conversation, after, before, limit }) = Caller::of(request)?;
        let asked = request::History { conversation, after, before, limit };
        self.ask(&caller, Asked::History(asked), messages).await
    }

    async fn send(&self, request: Request<pb::SendRequest>) -> Answer<pb::Sent> {
        let (caller, pb::SendRequest { conversation, username, text, seq, user }) = Caller::of(request)?;
        let asked = Asked::Send(request::Send { conversation, username: &username, user, text: &text, seq });
        self.ask(&caller, asked, |reply| match reply {
            Reply::Sent(sent) => Some(pb::Sent { conversation: sent.conversation, number: sent.number, id: sent.id }),
            _ => None,
        })
        .await
    }

    async fn delete_messages(&self, request: Request<pb::DeleteMessagesRequest>) -> Answer<pb::Count> {
        let (caller, pb::DeleteMessagesRequest { conversation, numbers, seq }) = Caller::of(request)?;
        let asked = request::Delete { conversation, numbers: List::from(numbers), seq };
        self.ask(&caller, Asked::Delete(asked), count).await
    }

    async fn clear_view(&self, request: Request<pb::ClearViewRequest>) -> Answer<pb::Done> {
        let (caller, pb::ClearViewRequest { conversation, upto, seq }) = Caller::of(request)?;
        self.done(&caller, Asked::Clear(request::Clear { conversation, upto, seq })).await
    }

    async fn set_marks(&self, request: Request<pb::SetMarksRequest>) -> Answer<pb::Done> {
        let (caller, pb::SetMarksRequest { marks }) = Caller::of(request)?;
        let marks = marks.into_iter().map(|mark| Mark {
            conversation: mark.conversation,
            user: 0,
            delivered: mark.delivered,
            read: mark.read,
        });
        self.done(&caller, Asked::Mark(request::Marks { marks: marks.collect() })).await
    }

    async fn set_typing(&self, request: Request<pb::SetTypingRequest>) -> Answer<pb::Done> {
        let (caller, pb::SetTypingRequest { conversation, on }) = Caller::of(request)?;
        self.done(&caller, Asked::Typing(request::Typing { conversation, on })).await
    }

    // ---- what happens ----

    async fn sync(&self, request: Request<pb::SyncRequest>) -> Answer<pb::Changes> {
        let (caller, pb::SyncRequest { cursor, limit, behind }) = Caller::of(request)?;
        let asked = request::Sync { cursor, limit, behind: List::from(behind) };
        self.ask(&caller, Asked::Sync(asked), |reply| match reply {
            Reply::Changes(changes) => Some(convert::changes(&changes)),
            _ => None,
        })
        .await
    }

    type EventsStream = ReceiverStream<Result<pb::Event, Status>>;

    async fn events(&self, request: Request<pb::EventsRequest>) -> Answer<Self::EventsStream> {
        let (caller, request) = Caller::of(request)?;
        let who = self.calls.identify(&caller).await?;
        let call = self.calls.listen(caller.secure(), who)?;
        let (to, told) = mpsc::channel(events::EVENTS_AHEAD);
        tokio::spawn(events::tell(self.calls.clone(), caller, call, request, to));
        Ok(Response::new(ReceiverStream::new(told)))
    }

    type WriteStream = ReceiverStream<Result<pb::WriteReply, Status>>;

    async fn write(&self, request: Request<Streaming<pb::WriteRequest>>) -> Answer<Self::WriteStream> {
        let (caller, writes) = Caller::of(request)?;
        let who = self.calls.identify(&caller).await?;
        let call = self.calls.take_writes(caller.secure(), who)?;
        let (to, told) = mpsc::channel(events::EVENTS_AHEAD);
        tokio::spawn(writes::carry_out(self.calls.clone(), call, writes, to));
        Ok(Response::new(ReceiverStream::new(told)))
    }
}
