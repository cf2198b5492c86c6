"""A conversation that is longer than what a client takes in one reply.

    python grpc_long_list.py HOST:PORT
"""

import sys

import grpc

from grpc_common import acquainted, ask, done

# What a client takes that sets no option, as the original's.
REPLY_BYTES_MAX = 4 << 20
TEXT_BYTES = 65536
# More than fit.
MESSAGES = REPLY_BYTES_MAX // TEXT_BYTES + 6
VIEW_LIMIT = 6


def text(number):
    """A long text that begins with its number."""
    return f"{number} ".ljust(TEXT_BYTES, "x")


def numbers(messages):
    """Of those that are there with their texts."""
    return [int(message.content.split()[0]) for message in messages if len(message.content) == TEXT_BYTES]


def main(address):
    channel = grpc.insecure_channel(address)
    chat = acquainted(channel, "ann", "bob")
    for number in range(MESSAGES):
        done(channel, "SendChatMessage", chat_id=chat, sender="ann", content=text(number))

    # One's own messages are never unread: the sender is shown all that fit.
    page = {"chat_id": chat, "current_user": "ann"}
    reply = done(channel, "GetMessages", **page)
    found, size = numbers(reply.messages), reply.ByteSize()
    assert found == list(range(MESSAGES - len(found), MESSAGES)), f"not the newest in order: {found}"
    assert REPLY_BYTES_MAX - 2 * TEXT_BYTES < size <= REPLY_BYTES_MAX, size
    print(f"{len(found)} of {MESSAGES} messages in {size} bytes")

    # An open page remembers only how long its list was: it must grow, in spite of what is left out.
    for number in range(MESSAGES, MESSAGES + 3):
        done(channel, "SendChatMessage", chat_id=chat, sender="ann", content=text(number))
        before, reply = len(reply.messages), done(channel, "GetMessages", **page)
        assert reply.ByteSize() <= REPLY_BYTES_MAX, reply.ByteSize()
        assert len(reply.messages) == before + 1, f"{len(reply.messages)} behind {before}"
        assert numbers(reply.messages)[-1] == number, f"the newest is not {number}"

    # The other one is handed the oldest unread ones, a few at a time.
    for turn in (1, 2):
        shown = numbers(done(channel, "GetMessages", chat_id=chat, current_user="bob").messages)
        assert shown == list(range(turn * VIEW_LIMIT)), shown
    (listed,) = ask(channel, "GetChats", user_id="bob").chats
    assert listed.unread_count == MESSAGES + 3 - 2 * VIEW_LIMIT, listed


main(*sys.argv[1:])
