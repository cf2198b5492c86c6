"""What the programs here share that drive a node over gRPC.

Their modules of messages (chat_pb2 and so on) are made from proto/ before they start, in a directory of their search path.
"""

import hashlib

import grpc
from google.protobuf import message_factory

import chat_pb2
import chat_pb2_grpc
import replication_pb2
import replication_pb2_grpc

# Far more than any call takes on a loaded machine; the original's clients wait for good.
PATIENCE = 40

# By their names in a path, what they consist of.
SERVICES = {
    "chat.ChatService": chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
    "replication.ReplicationService": replication_pb2.DESCRIPTOR.services_by_name["ReplicationService"],
}
STUBS = {
    "chat.ChatService": chat_pb2_grpc.ChatServiceStub,
    "replication.ReplicationService": replication_pb2_grpc.ReplicationServiceStub,
}


def password(text="secret"):
    """A password as clients send it."""
    return hashlib.sha256(text.encode()).hexdigest()


def find(method):
    """Service, request class and reply class of a method, by its bare name."""
    for service, descriptor in SERVICES.items():
        if method in descriptor.methods_by_name:
            found = descriptor.methods_by_name[method]
            return service, *map(message_factory.GetMessageClass, (found.input_type, found.output_type))
    raise KeyError(method)


def send(channel, path, request):
    """A call as bytes, asked and answered. A status that is not OK is raised as grpc.RpcError."""
    return channel.unary_unary(path)(request, timeout=PATIENCE)


def prepare(channel, method, **fields):
    """What to call, and with what request, by the bare name of the method."""
    service, request, _ = find(method)
    return getattr(STUBS[service](channel), method), request(**fields)


def ask(channel, method, **fields):
    """A call by the bare name of its method. A status that is not OK is raised as grpc.RpcError."""
    call, request = prepare(channel, method, **fields)
    return call(request, timeout=PATIENCE)


def done(channel, method, **fields):
    """A call that must be answered OK, with success and without a refusal."""
    reply = ask(channel, method, **fields)
    assert not reply.error_message, f"{method} {fields}: {reply.error_message}"
    assert getattr(reply, "success", True), f"{method} {fields}: refused without a word"
    return reply


def status_of(channel, method, **fields):
    """The status that a call ends with, which must not be OK, and its words."""
    try:
        reply = ask(channel, method, **fields)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"{method} {fields} was answered instead of refused: {reply}")


def acquainted(channel, one, other):
    """Makes two accounts and their chat; its id."""
    for name in (one, other):
        done(channel, "Signup", username=name, nickname=name, password=password())
    return done(channel, "StartChat", current_user=one, other_user=other).chat.chat_id
