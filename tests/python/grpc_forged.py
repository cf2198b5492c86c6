"""What a stranger might say to a server in order to rule it, or to write behind everybody's back.

    python grpc_forged.py ADDRESS...

All of it must end PERMISSION_DENIED. Whether nothing has changed is for others to see.
"""

import sys

import grpc

import chat_pb2
from grpc_common import ask, password, status_of


def forged(state):
    """Methods and fields. The names and addresses of members are known to everybody."""
    ruler, ruled = state.leader_id, next(server for server in state.servers if server.server_id != state.leader_id)
    for server_id in ("evil", ruler, ruled.server_id):
        for term in (99, 2**63 - 1):
            for role in ("leader", "candidate", "voter"):
                yield "Heartbeat", {"server_id": server_id, "term": term, "role": role, "timestamp": 1}
    signup = chat_pb2.SignupRequest(username="evil", nickname="evil", password=password())
    send = chat_pb2.SendMessageRequest(chat_id="ann_bob", sender="ann", content="forged")
    delete = chat_pb2.DeleteUserRequest(username="ann")
    for server_id in ("evil", ruler):
        for method, request in (("Signup", signup), ("SendChatMessage", send), ("DeleteUser", delete), ("Nope", send)):
            yield "ReplicateOperation", {
                "service_name": "ChatServicer", "method_name": method, "operation_id": 5, "term": state.term,
                "serialized_request": request.SerializeToString(), "server_id": server_id,
            }
    for server_id, address in (("evil", "127.0.0.1:1"), (ruler, "127.0.0.1:1"), ("evil", ruled.address), ("", "")):
        yield "JoinNetwork", {"server_id": server_id, "address": address}


def main(*addresses):
    for address in addresses:
        channel = grpc.insecure_channel(address)
        before = ask(channel, "GetNetworkState")
        for method, fields in forged(before):
            code, words = status_of(channel, method, **fields)
            assert code == grpc.StatusCode.PERMISSION_DENIED, f"{method} {fields}: {code} {words}"
        assert ask(channel, "GetNetworkState") == before


main(*sys.argv[1:])
