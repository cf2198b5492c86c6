"""Calls that come to followers while nobody leads. All of them must be answered, and well.

    python grpc_election.py ROUND FOLLOWER FOLLOWER

Makes accounts, named after the round, and says `ready`. The line on standard input is the name of the leader, which has just
been killed: then it sends calls to both followers at once, and says whether that was before either had heard of another
leader (`early` or `late`), how many calls there were, and how long the longest took, in milliseconds.
"""

import sys
import time

import grpc

from grpc_common import PATIENCE, acquainted, ask, done, password, prepare

# Of each kind, at each follower.
CALLS = 4


def burst(tag, chat, ann, bob):
    """Methods and fields: writes, reads, and what is both."""
    for i in range(CALLS):
        yield "SendChatMessage", {"chat_id": chat, "sender": ann, "content": f"{tag} {i}"}
        yield "SaveSettings", {"username": ann, "message_limit": str(10 + i)}
        yield "StartChat", {"current_user": bob, "other_user": ann}
        yield "GetMessages", {"chat_id": chat, "current_user": bob}
        yield "GetChats", {"user_id": bob}
        yield "GetUserMessageLimit", {"username": ann}
        yield "GetUsersToDisplay", {"exclude_username": ann, "users_per_page": 10}
    yield "Login", {"username": ann, "password": password()}
    yield "Signup", {"username": f"new-{tag}", "nickname": "new", "password": password()}


def main(round_, *followers):
    channels = [grpc.insecure_channel(address) for address in followers]
    ann, bob = f"ann-{round_}", f"bob-{round_}"
    chat = acquainted(channels[0], ann, bob)
    calls = [
        (method, *prepare(channel, method, **fields))
        for place, channel in enumerate(channels)
        for method, fields in burst(f"{round_}-{place}", chat, ann, bob)
    ]
    for channel in channels:
        done(channel, "GetChats", user_id=ann)
    print("ready", flush=True)
    dead = sys.stdin.readline().strip()

    begun = time.monotonic()
    under_way = [(method, call.future(request, timeout=PATIENCE)) for method, call, request in calls]
    leaders = [ask(channel, "GetNetworkState").leader_id for channel in channels]
    for method, call in under_way:
        # Raises a status that is not OK.
        reply = call.result()
        assert not reply.error_message and getattr(reply, "success", True), f"{method}: {reply}"
    longest = time.monotonic() - begun
    early = all(leader in ("", dead) for leader in leaders)
    print("early" if early else "late", len(calls), round(longest * 1000), flush=True)


main(*sys.argv[1:])
