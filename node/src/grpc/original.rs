//! Package `chat`: the original's calls. Each becomes the request of the same name of its sockets, and the answer a reply
//! with the same texts.

use std::sync::Arc;

use proto::chat as pb;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};
use wire::legacy::field::Field;
use wire::legacy::request::Indices;
use wire::legacy::{Request as Asked, text};
use wire::limits::DELETE_INDICES_MAX;

use super::caller::Caller;
use crate::config::args::LegacyGrpc;
use crate::service::OriginalCalls;
use crate::service::legacy::answer::{Account, Answer, Read, shown_name};
use crate::service::legacy::history::Entry;
use crate::service::legacy::reply::{count, small};
use crate::service::legacy::room::Room;

/// Set on replies that no majority has confirmed.
const STALE: &str = "samira-stale";

/// Takes the calls.
pub(super) struct Original {
    calls: Arc<OriginalCalls>,
    legacy: LegacyGrpc,
}

type Reply<T> = Result<Response<T>, Status>;

impl Original {
    pub(super) fn new(calls: Arc<OriginalCalls>, legacy: LegacyGrpc) -> Original {
        Original { calls, legacy }
    }

    /// The answer, unless waiting may help: that is never an answer, because the original's clients take one for final.
    async fn ask(&self, caller: Caller, name: &str, request: &Asked<'_>) -> Result<Answer, Status> {
        let whence = caller.whence(self.legacy);
        match self.calls.0.ask(&whence, caller.bearer, name, request).await? {
            Answer::NotNow(why) => Err(Status::unavailable(why)),
            answer => Ok(answer),
        }
    }

    /// For requests whose answer is done or not.
    async fn told(&self, caller: Caller, name: &str, request: &Asked<'_>) -> Result<(bool, String), Status> {
        Ok(match self.ask(caller, name, request).await? {
            Answer::Refused(why) => (false, why.into_owned()),
            _ => (true, String::new()),
        })
    }
}

/// What is said instead of a list, a text or an account.
fn error_message(answer: Answer) -> String {
    match answer {
        Answer::Refused(why) => why.into_owned(),
        Answer::InvalidPayload => text::INVALID_PAYLOAD.to_owned(),
        // Of answers that do not fit the request there are none.
        _ => text::REFUSED.to_owned(),
    }
}

/// A reply with something that was read in it.
fn shown<T>(reply: T, stale: bool) -> Response<T> {
    let mut response = Response::new(reply);
    if stale {
        response.metadata_mut().insert(STALE, MetadataValue::from_static("true"));
    }
    response
}

#[tonic::async_trait]
impl pb::chat_service_server::ChatService for Original {
    async fn signup(&self, request: Request<pb::SignupRequest>) -> Reply<pb::UserResponse> {
        let (caller, pb::SignupRequest { username, nickname, password }) = Caller::of(request)?;
        let asked = Asked::Signup {
            username: username.as_str().into(),
            nickname: nickname.as_str().into(),
            password: password.as_str().into(),
        };
        let (success, error_message) = self.told(caller, &username, &asked).await?;
        Ok(Response::new(pb::UserResponse { success, error_message, ..Default::default() }))
    }

    async fn login(&self, request: Request<pb::LoginRequest>) -> Reply<pb::UserResponse> {
        let (caller, pb::LoginRequest { username, password }) = Caller::of(request)?;
        let asked = Asked::Login { username: username.as_str().into(), password: password.as_str().into() };
        Ok(match self.ask(caller, &username, &asked).await? {
            Answer::LoggedIn(Account { id, nickname, view_limit, stale }) => shown(
                pb::UserResponse {
                    success: true,
                    error_message: String::new(),
                    user_id: small(id) as i32,
                    nickname,
                    view_limit: count(view_limit.into()),
                },
                stale,
            ),
            other => Response::new(pb::UserResponse { error_message: error_message(other), ..Default::default() }),
        })
    }

    async fn delete_user(&self, request: Request<pb::DeleteUserRequest>) -> Reply<pb::StatusResponse> {
        let (caller, pb::DeleteUserRequest { username }) = Caller::of(request)?;
        let asked = Asked::DeleteUser { username: username.as_str().into() };
        let (success, error_message) = self.told(caller, &username, &asked).await?;
        Ok(Response::new(pb::StatusResponse { success, error_message }))
    }

    async fn get_user_message_limit(
        &self,
        request: Request<pb::GetUserMessageLimitRequest>,
    ) -> Reply<pb::MessageLimitResponse> {
        let (caller, pb::GetUserMessageLimitRequest { username }) = Caller::of(request)?;
        let asked = Asked::GetUserMessageLimit { username: username.as_str().into() };
        Ok(match self.ask(caller, &username, &asked).await? {
            Answer::ViewLimit(Read { value, stale }) => {
                shown(pb::MessageLimitResponse { limit: value.to_string(), ..Default::default() }, stale)
            }
            other => {
                Response::new(pb::MessageLimitResponse { error_message: error_message(other), ..Default::default() })
            }
        })
    }

    async fn save_settings(&self, request: Request<pb::SaveSettingsRequest>) -> Reply<pb::StatusResponse> {
        let (caller, pb::SaveSettingsRequest { username, message_limit }) = Caller::of(request)?;
        let asked =
            Asked::SaveSettings { username: username.as_str().into(), message_limit: message_limit.as_str().into() };
        let (success, error_message) = self.told(caller, &username, &asked).await?;
        Ok(Response::new(pb::StatusResponse { success, error_message }))
    }

    async fn get_users_to_display(
        &self,
        request: Request<pb::GetUsersToDisplayRequest>,
    ) -> Reply<pb::UsersDisplayResponse> {
        let (caller, request) = Caller::of(request)?;
        let asked = Asked::GetUsersToDisplay {
            current_user: request.exclude_username.as_str().into(),
            search_pattern: request.search_pattern.as_str().into(),
            page: Field::Missing,
            current_page: Field::Given(request.current_page.into()),
            users_per_page: Field::Given(request.users_per_page.into()),
        };
        Ok(match self.ask(caller, &request.exclude_username, &asked).await? {
            Answer::Names(Read { value, stale }) => {
                let usernames = Room::of_call().fill(&value).into_iter().cloned().collect();
                shown(pb::UsersDisplayResponse { usernames, ..Default::default() }, stale)
            }
            other => {
                Response::new(pb::UsersDisplayResponse { error_message: error_message(other), ..Default::default() })
            }
        })
    }

    async fn get_chats(&self, request: Request<pb::GetChatsRequest>) -> Reply<pb::ChatsResponse> {
        let (caller, pb::GetChatsRequest { user_id }) = Caller::of(request)?;
        let asked = Asked::GetChats { user_id: user_id.as_str().into() };
        Ok(match self.ask(caller, &user_id, &asked).await? {
            Answer::Chats(Read { value, stale }) => {
                let chats = value.into_iter().map(|chat| pb::Chat {
                    other_user: shown_name(&chat.other, chat.other_live),
                    chat_id: chat.legacy_id,
                    unread_count: count(chat.unread),
                });
                shown(pb::ChatsResponse { chats: chats.collect(), ..Default::default() }, stale)
            }
            other => Response::new(pb::ChatsResponse { error_message: error_message(other), ..Default::default() }),
        })
    }

    async fn start_chat(&self, request: Request<pb::StartChatRequest>) -> Reply<pb::ChatResponse> {
        let (caller, pb::StartChatRequest { current_user, other_user }) = Caller::of(request)?;
        let asked =
            Asked::StartChat { current_user: current_user.as_str().into(), other_user: other_user.as_str().into() };
        Ok(Response::new(match self.ask(caller, &current_user, &asked).await? {
            Answer::Chat(chat_id) => {
                let chat = pb::Chat { chat_id, ..Default::default() };
                pb::ChatResponse { success: true, error_message: String::new(), chat: Some(chat) }
            }
            other => pb::ChatResponse { error_message: error_message(other), ..Default::default() },
        }))
    }

    async fn get_messages(&self, request: Request<pb::GetMessagesRequest>) -> Reply<pb::MessagesResponse> {
        let (caller, pb::GetMessagesRequest { chat_id, current_user }) = Caller::of(request)?;
        let asked = Asked::GetMessages { chat_id: chat_id.as_str().into(), current_user: current_user.as_str().into() };
        Ok(match self.ask(caller, &current_user, &asked).await? {
            Answer::Messages(Read { value, stale }) => {
                let messages = value.into_iter().map(|entry| match entry {
                    Entry::Line(line) => pb::Message {
                        sender: line.sender,
                        content: line.content,
                        timestamp: line.timestamp,
                        ..Default::default()
                    },
                    Entry::Placeholder(placeholder) => pb::Message {
                        sender: placeholder.sender.to_owned(),
                        content: placeholder.content.to_owned(),
                        ..Default::default()
                    },
                });
                shown(pb::MessagesResponse { messages: messages.collect(), ..Default::default() }, stale)
            }
            other => Response::new(pb::MessagesResponse { error_message: error_message(other), ..Default::default() }),
        })
    }

    async fn send_chat_message(&self, request: Request<pb::SendMessageRequest>) -> Reply<pb::MessageResponse> {
        let (caller, pb::SendMessageRequest { chat_id, sender, content }) = Caller::of(request)?;
        let asked = Asked::SendChatMessage {
            chat_id: chat_id.as_str().into(),
            sender: sender.as_str().into(),
            content: content.as_str().into(),
        };
        let (success, error_message) = self.told(caller, &sender, &asked).await?;
        Ok(Response::new(pb::MessageResponse { success, error_message }))
    }

    async fn delete_messages(&self, request: Request<pb::DeleteMessagesRequest>) -> Reply<pb::StatusResponse> {
        let (caller, pb::DeleteMessagesRequest { chat_id, message_indices, current_user }) = Caller::of(request)?;
        let indices: Vec<i64> = message_indices.into_iter().map(i64::from).collect();
        let Ok(indices) = Indices::from_slice(&indices) else {
            // A refusal, and no status: the original's client would take this server for a broken one.
            let error_message = format!("At most {DELETE_INDICES_MAX} messages can be deleted at a time.");
            return Ok(Response::new(pb::StatusResponse { success: false, error_message }));
        };
        let asked = Asked::DeleteMessages {
            chat_id: chat_id.as_str().into(),
            message_indices: Field::Given(indices),
            current_user: current_user.as_str().into(),
        };
        let (success, error_message) = self.told(caller, &current_user, &asked).await?;
        Ok(Response::new(pb::StatusResponse { success, error_message }))
    }
}
