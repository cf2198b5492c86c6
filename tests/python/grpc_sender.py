"""A client of the original that sends one numbered message after the other, whatever happens to the servers.

    python grpc_sender.py HOST:PORT NAME

It logs in once. On standard output it says `ready`, then `stored` for each message it was told is stored. On standard input
it is told `killed HOST:PORT` before a node is killed, which it confirms with `noted`, and `stop`. Then it compares the
conversation, as every node shows it, with what it was told, and says what it found as one line of JSON.
"""

import collections
import itertools
import json
import sys
import threading

import grpc

from grpc_common import acquainted, ask, done, password
from grpc_original import Original, Stuck


class Orders:
    """What is said on standard input, as it comes."""

    def __init__(self):
        self.killed, self.stop = set(), threading.Event()
        # Never joined: it may wait for input when the program ends.
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in sys.stdin:
            match line.split():
                case ["killed", address]:
                    self.killed.add(address)
                    say("noted")
                case ["stop"]:
                    break
        # The end of the input is the end of the test.
        self.stop.set()


def say(line):
    # One write for each line: two threads talk.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Sender:
    """Sends, and keeps what became of each number."""

    def __init__(self, address, name):
        self.name, peer = name, f"{name}'s peer"
        self.client = Original(address)
        self.chat = acquainted(self.client.channel, name, peer)
        done(self.client.channel, "Login", username=name, password=password())
        self.stored, self.failures, self.stuck = [], collections.Counter(), 0

    def send(self, number, killed):
        """Sends until it is told that the message is stored."""
        while True:
            before = len(self.client.failures)
            try:
                reply = self.client.call("SendChatMessage", chat_id=self.chat, sender=self.name, content=str(number))
            except Stuck:
                reply = None
            for address, code, details in self.client.failures[before:]:
                # Nothing but a dead node may keep one from an answer.
                assert code == grpc.StatusCode.UNAVAILABLE and address in killed, f"{address}: {code} {details}"
                self.failures[number] += 1
            if reply is not None:
                # The original's clients would take this for final.
                assert reply.success, f"a refusal: {reply.error_message}"
                self.stored.append(number)
                return
            self.stuck += 1
            self.client.restart()

    def check(self):
        """Holds what every node shows against what was told. Returns how many messages are there more than once."""
        lists = []
        for address in self.client.known:
            with grpc.insecure_channel(address) as channel:
                reply = ask(channel, "GetMessages", chat_id=self.chat, current_user=self.name)
            assert not reply.error_message, reply.error_message
            lists.append([int(message.content) for message in reply.messages])
        shown = lists[0]
        assert all(other == shown for other in lists), "nodes show different lists"
        missing = set(self.stored) - set(shown)
        assert not missing, f"{sorted(missing)} were stored, and are lost"
        kept = [number for number, _ in itertools.groupby(shown)]
        assert kept == sorted(set(shown)), f"{self.name}'s messages are out of order: {shown}"
        doubled = {number: count for number, count in collections.Counter(shown).items() if count > 1}
        for number, count in doubled.items():
            assert count <= 1 + self.failures[number], f"{number} is there {count} times, without a cause"
        return len(doubled)


def main(address, name):
    orders = Orders()
    sender = Sender(address, name)
    say("ready")
    for number in itertools.count():
        if orders.stop.is_set():
            break
        sender.send(number, orders.killed)
        say("stored")
    found = {"stored": len(sender.stored), "failed": sender.failures.total(), "doubled": sender.check(),
             "stuck": sender.stuck}
    say(json.dumps(found))


main(*sys.argv[1:])
