"""Many clients at once, each with its own connection.

    python grpc_crowd.py HOST:PORT COUNT

Says `connected` when every one of them has been answered, and keeps their connections until its input ends.
"""

import concurrent.futures
import sys

import grpc

from grpc_common import acquainted, done

# Channels to one address would otherwise share a connection.
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


def main(address, count):
    channels = [grpc.insecure_channel(address, OWN_CONNECTION) for _ in range(int(count))]
    chat = acquainted(channels[0], "ann", "bob")

    def send(number):
        done(channels[number], "SendChatMessage", chat_id=chat, sender="ann", content=str(number))

    with concurrent.futures.ThreadPoolExecutor(len(channels)) as pool:
        # Raises what a call has raised.
        list(pool.map(send, range(len(channels))))
    shown = done(channels[0], "GetMessages", chat_id=chat, current_user="ann").messages
    assert sorted(int(message.content) for message in shown) == list(range(len(channels)))
    print("connected", flush=True)
    sys.stdin.read()
    for channel in channels:
        channel.close()


main(*sys.argv[1:])
