"""Every method of the original's two packages, asked at a leader and at a follower, rightly and wrongly.

    python grpc_methods.py LEADER FOLLOWER STRANGER

Addresses are HOST:PORT. STRANGER is an account that has never logged in over gRPC. Nobody else may have done so before.
"""

import sys

import grpc

from grpc_common import SERVICES, ask, find, password, send, status_of

CHAT, REPLICATION = SERVICES.values()
PRIVATE = [method.name for method in CHAT.methods if method.name not in ("Signup", "Login")]

NOT_ALL_FIELDS = {"error_message": "All fields are required."}
NOT_BOTH = {"error_message": "Username and password are required."}
INVALID = {"error_message": "Invalid username or password."}
MISSING = {"error_message": "Missing required fields."}
NO_SUCH_CHAT = {"error_message": "You are not part of such a chat."}
BAD_LIMIT = {"error_message": "The message limit must be a whole number from 1 to 100000."}
SUCCESS = {"success": True}

# Of a request with indices, and of a message.
INDICES_MAX = 128
TEXT_BYTES_MAX = 65536


def in_the_name_of(method, name):
    """The fields of a request that somebody makes under that name."""
    fields = {field.name for field in find(method)[1].DESCRIPTOR.fields}
    (field,) = fields & {"username", "current_user", "sender", "user_id", "exclude_username"}
    rest = {"chat_id": "ann_bob", "content": "hi", "message_limit": "7", "other_user": "ann", "message_indices": [0]}
    return {field: name} | {key: value for key, value in rest.items() if key in fields}


def check(channel, method, fields, expected):
    """Asks, and compares the whole reply."""
    reply = ask(channel, method, **fields)
    assert reply == find(method)[2](**expected), f"{method} {fields}: {reply} instead of {expected}"


def refused(channel, method, fields, code):
    """Asks what must end with a status."""
    found = status_of(channel, method, **fields)
    assert found[0] == code, f"{method} {fields}: {found} instead of {code}"


def accounts(channel, ann, bob):
    new = {"username": ann, "nickname": "Ann", "password": password()}
    check(channel, "Signup", new, SUCCESS)
    check(channel, "Signup", new, {"error_message": "Username already taken."})
    check(channel, "Signup", new | {"username": bob, "nickname": "Bob"}, SUCCESS)
    for field in new:
        check(channel, "Signup", new | {field: ""}, NOT_ALL_FIELDS)

    right = {"username": ann, "password": password()}
    login = ask(channel, "Login", **right)
    assert login.user_id > 0, login
    found = {"user_id": login.user_id, "nickname": "Ann"} | SUCCESS
    check(channel, "Login", right, found | {"view_limit": 6})
    check(channel, "Login", right | {"password": password("another")}, INVALID)
    check(channel, "Login", right | {"username": f"nobody-{ann}"}, INVALID)
    for field in right:
        check(channel, "Login", right | {field: ""}, NOT_BOTH)

    limit = {"username": ann}
    check(channel, "GetUserMessageLimit", limit, {"limit": "6"})
    check(channel, "GetUserMessageLimit", {}, {"limit": "6"})
    check(channel, "SaveSettings", limit | {"message_limit": "12"}, SUCCESS)
    # With the original such limits locked the account out: a login ended UNKNOWN.
    for wrong in ("abc", "", "0", "-1", "2.5", "4294967296"):
        check(channel, "SaveSettings", limit | {"message_limit": wrong}, BAD_LIMIT)
    check(channel, "SaveSettings", {"message_limit": "12"}, MISSING)
    check(channel, "GetUserMessageLimit", limit, {"limit": "12"})
    check(channel, "Login", right, found | {"view_limit": 12})


def people(channel, ann, bob, tag):
    search = {"exclude_username": ann, "search_pattern": tag, "current_page": 1, "users_per_page": 10}
    check(channel, "GetUsersToDisplay", search, {"usernames": [bob]})
    check(channel, "GetUsersToDisplay", search | {"exclude_username": ""}, {"usernames": [ann, bob]})
    check(channel, "GetUsersToDisplay", search | {"search_pattern": bob.upper()}, {"usernames": [bob]})
    check(channel, "GetUsersToDisplay", search | {"search_pattern": "%"}, {})
    check(channel, "GetUsersToDisplay", search | {"search_pattern": f"*{tag}"}, {"usernames": [bob]})
    check(channel, "GetUsersToDisplay", search | {"current_page": 2}, {})
    check(channel, "GetUsersToDisplay", search | {"current_page": -1}, {"usernames": [bob]})
    check(channel, "GetUsersToDisplay", search | {"users_per_page": 0}, {})
    check(channel, "GetUsersToDisplay", search | {"users_per_page": -1}, {"usernames": [bob]})
    check(channel, "GetUsersToDisplay", search | {"search_pattern": "x" * 5000},
          {"error_message": "The search pattern is too long."})


def talk(channel, ann, bob):
    chat, itself = f"{ann}_{bob}", f"{ann}_{ann}"
    start = {"current_user": ann, "other_user": bob}
    check(channel, "StartChat", start, SUCCESS | {"chat": {"chat_id": chat}})
    check(channel, "StartChat", {"current_user": bob, "other_user": ann}, SUCCESS | {"chat": {"chat_id": chat}})
    check(channel, "StartChat", start | {"other_user": ann}, SUCCESS | {"chat": {"chat_id": itself}})
    check(channel, "StartChat", start | {"current_user": ""}, MISSING)
    check(channel, "StartChat", start | {"other_user": ""}, MISSING)
    check(channel, "GetChats", {"user_id": ann}, {})
    check(channel, "GetChats", {}, {})

    say = {"chat_id": chat, "sender": ann, "content": "hello"}
    check(channel, "SendChatMessage", say, SUCCESS)
    check(channel, "SendChatMessage", say | {"sender": bob, "content": "hi üñ🔥"}, SUCCESS)
    check(channel, "SendChatMessage", say | {"content": "x" * TEXT_BYTES_MAX}, SUCCESS)
    check(channel, "SendChatMessage", say | {"content": "x" * (TEXT_BYTES_MAX + 1)},
          {"error_message": "The message is longer than 65536 bytes."})
    for field in say:
        check(channel, "SendChatMessage", say | {field: ""}, MISSING)
    # Without `_`, equal to the sender's name or not, is what ended UNKNOWN with the original.
    for wrong in ("noscore", ann, "x" * 5000):
        check(channel, "SendChatMessage", say | {"chat_id": wrong}, NO_SUCH_CHAT)
        check(channel, "GetMessages", {"chat_id": wrong, "current_user": ann}, NO_SUCH_CHAT)
    check(channel, "GetMessages", {"current_user": ann}, NO_SUCH_CHAT)
    check(channel, "GetMessages", {"chat_id": chat}, MISSING)

    check(channel, "GetChats", {"user_id": bob}, {"chats": [{"chat_id": chat, "other_user": ann, "unread_count": 2}]})
    shows(channel, chat, bob, [(ann, "hello"), (bob, "hi üñ🔥"), (ann, "x" * TEXT_BYTES_MAX)])
    check(channel, "GetChats", {"user_id": bob}, {"chats": [{"chat_id": chat, "other_user": ann}]})

    shows(channel, chat, ann, [(ann, "hello"), (bob, "hi üñ🔥"), (ann, "x" * TEXT_BYTES_MAX)])
    delete = {"chat_id": chat, "message_indices": [1], "current_user": ann}
    check(channel, "DeleteMessages", delete, {"error_message": "You can only delete messages that you have sent."})
    check(channel, "DeleteMessages", delete | {"message_indices": []}, SUCCESS)
    check(channel, "DeleteMessages", delete | {"message_indices": [99]}, SUCCESS)
    check(channel, "DeleteMessages", delete | {"message_indices": [-1]},
          {"error_message": "Message indices count from 0."})
    check(channel, "DeleteMessages", delete | {"message_indices": [0] * (INDICES_MAX + 1)},
          {"error_message": f"At most {INDICES_MAX} messages can be deleted at a time."})
    check(channel, "DeleteMessages", delete | {"chat_id": ""}, MISSING)
    check(channel, "DeleteMessages", delete | {"current_user": ""}, MISSING)
    check(channel, "DeleteMessages", delete | {"message_indices": [0, 2]}, SUCCESS)
    shows(channel, chat, ann, [(bob, "hi üñ🔥")])

    check(channel, "DeleteUser", {}, SUCCESS)
    check(channel, "DeleteUser", {"username": f"nobody-{ann}"}, SUCCESS)
    check(channel, "DeleteUser", {"username": bob}, SUCCESS)
    check(channel, "SendChatMessage", say,
          {"error_message": f"Cannot send message. User '{bob}' has deleted their account."})
    check(channel, "Login", {"username": bob, "password": password()}, INVALID)
    # Whoever was deleted is nobody; ann is still logged in here.
    refused(channel, "GetChats", {"user_id": bob}, grpc.StatusCode.PERMISSION_DENIED)


def shows(channel, chat, name, expected):
    """What somebody is shown of a chat."""
    reply = ask(channel, "GetMessages", chat_id=chat, current_user=name)
    assert not reply.error_message, reply
    assert [(message.sender, message.content) for message in reply.messages] == expected, (name, expected)
    # The original never set these, and never failed to say when.
    assert all(message.id == message.read == 0 and message.timestamp for message in reply.messages)


def servers(channel, leader):
    state = ask(channel, "GetNetworkState", server_id="client")
    leads = {server.server_id: server.address for server in state.servers if server.role == "leader"}
    assert len(state.servers) == 3 and leads == {state.leader_id: leader} and state.term > 0, state
    assert {server.role for server in state.servers} == {"leader", "follower"}, state

    for role in ("", "client", "follower"):
        beat = ask(channel, "Heartbeat", server_id="probe", role=role)
        assert beat.success and beat.term == state.term, beat
        assert beat.role == {server.server_id: server.role for server in state.servers}[beat.server_id], beat
    for member in state.servers:
        joined = ask(channel, "JoinNetwork", server_id=member.server_id, address=member.address)
        assert joined.success and joined.servers == state.servers, joined
        assert (joined.leader_id, joined.term) == (state.leader_id, state.term), joined
        assert joined.server_addresses == {server.server_id: server.address for server in state.servers}, joined
    refused(channel, "ReplicateOperation", {"service_name": "ChatServicer"}, grpc.StatusCode.PERMISSION_DENIED)


def nobody(channel):
    """Where nobody is logged in, nobody may do anything."""
    for method in PRIVATE:
        for name in ("ann", ""):
            refused(channel, method, in_the_name_of(method, name), grpc.StatusCode.UNAUTHENTICATED)


def somebody_else(channel, stranger):
    """Where others are logged in, one may not act for somebody who is not."""
    for method in PRIVATE:
        refused(channel, method, in_the_name_of(method, stranger), grpc.StatusCode.PERMISSION_DENIED)


def odd_bytes(channel):
    """What is no request is answered with the original's status; what a newer client adds is left aside."""
    for service, descriptor in SERVICES.items():
        for method in descriptor.methods:
            for malformed in (b"\xff\xff\xff", b"\n\x03\xff\xfe\xfd", b"\n\x7f"):
                ends(channel, f"/{service}/{method.name}", malformed, grpc.StatusCode.INTERNAL)
    for missing in ("chat.ChatService/GetAllUsers", "chat.ChatService/DeleteChats", "chat.ChatService/UpdateViewLimit",
                    "replication.ReplicationService/Vote", "chat.Nothing/Login"):
        ends(channel, f"/{missing}", b"", grpc.StatusCode.UNIMPLEMENTED)


def ends(channel, path, request, code):
    try:
        reply = send(channel, path, request)
    except grpc.RpcError as error:
        assert error.code() == code, f"{path} {request}: {error.code()} {error.details()} instead of {code}"
        return
    raise AssertionError(f"{path} {request}: OK {reply} instead of {code}")


def unknown_fields(channel, name):
    for method, fields in (("Login", {"username": name, "password": password()}), ("GetChats", {"user_id": name}),
                           ("GetNetworkState", {"server_id": "client"}), ("Heartbeat", {"server_id": "client"})):
        service, request, reply = find(method)
        # Fields 15 and 200, a text and a number.
        odd = request(**fields).SerializeToString() + b"z\x03abc\xc0\x0c\x07"
        answer = reply.FromString(send(channel, f"/{service}/{method}", odd))
        assert answer == ask(channel, method, **fields), method


def main(leader, follower, stranger):
    channels = {"leader": grpc.insecure_channel(leader), "follower": grpc.insecure_channel(follower)}
    for channel in channels.values():
        nobody(channel)
    for tag, channel in channels.items():
        ann, bob = f"ann-{tag}", f"bob-{tag}"
        accounts(channel, ann, bob)
        people(channel, ann, bob, tag)
        talk(channel, ann, bob)
        somebody_else(channel, stranger)
        unknown_fields(channel, ann)
        odd_bytes(channel)
        servers(channel, leader)
    # What was done on one node holds on the other at once.
    for channel, ann in zip(reversed(channels.values()), ("ann-leader", "ann-follower")):
        assert ask(channel, "Login", username=ann, password=password()).view_limit == 12
    print(f"{len(PRIVATE) + 2} methods of chat and {len(REPLICATION.methods)} of replication, on two nodes")


main(*sys.argv[1:])
