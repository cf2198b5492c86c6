"""Health checking and reflection, through the packages that Python's gRPC has for them.

    python grpc_discovery.py HOST:PORT
"""

import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import chat_pb2
import replication_pb2
import samira_pb2
from grpc_common import PATIENCE, send

SERVING = health_pb2.HealthCheckResponse.SERVING
OURS = {
    "chat.ChatService": chat_pb2, "replication.ReplicationService": replication_pb2, "samira.v2.Chat": samira_pb2,
}


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    # The empty name is the server as a whole.
    for service in ("", "chat.ChatService", "samira.v2.Chat"):
        asked = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(asked, timeout=PATIENCE).status == SERVING, service
        watch = stub.Watch(asked, timeout=PATIENCE)
        assert next(watch).status == SERVING, service
        watch.cancel()
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=PATIENCE)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
    else:
        raise AssertionError("a service that is none has a health")


def reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    assert services > OURS.keys() and "grpc.health.v1.Health" in services, services
    for service, module in OURS.items():
        told = database.FindFileContainingSymbol(service)
        written = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(written)
        # Python keeps no comments, and no name in JSON that follows from a field's own.
        told.ClearField("source_code_info")
        forget_json_names(told.message_type)
        assert told == written, f"{service} is told otherwise than it is written"

    # A client without any file of ours.
    pool = descriptor_pool.DescriptorPool(database)
    method = pool.FindServiceByName("replication.ReplicationService").FindMethodByName("GetNetworkState")
    request = message_factory.GetMessageClass(method.input_type)(server_id="client")
    reply = message_factory.GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{method.name}"
    state = reply.FromString(send(channel, path, request.SerializeToString()))
    assert state.leader_id in [server.server_id for server in state.servers], state


def forget_json_names(messages):
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        forget_json_names(message.nested_type)


def main(address):
    channel = grpc.insecure_channel(address)
    health(channel)
    reflection(channel)


main(*sys.argv[1:])
