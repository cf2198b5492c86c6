"""Two people on two nodes, with nothing but docs/wire.md.

    python3 check.py HOST:PORT HOST:PORT PAGE

Prints what it did. Ends with code 0 if everything was as the page says.
"""

import sys

from samira_client import Client, Closed, Page, Refused

# Of a new account.
VIEW_LIMIT = 6
# More than that, so that a device that comes back is behind.
BACKLOG = 9
TALK = 20


class Person:
    """Somebody with one device, and what it was told."""

    def __init__(self, page, name):
        self.page, self.name, self.password = page, name, f"{name}'s password"
        self.client, self.user, self.numbers = None, 0, []

    def connect(self, address):
        self.client = Client(self.page, *split(address), state=self.client and self.client.state)
        welcome = self.client.welcome
        assert welcome["samira"] == 2 and len(welcome["nodes"]) == 3, welcome
        return self.client

    def messages(self, count):
        """Waits for that many messages of others, through whatever they come."""
        found = []
        while len(found) < count:
            name, content = self.client.wait_event()
            told = [content] if name == "message" else content.get("messages", []) if name == "update" else []
            found += self.take(told)
        return found

    def take(self, messages):
        """Takes messages in; returns those of others."""
        for message in messages:
            number = message["number"]
            assert number not in self.numbers, f"{self.name} was told message {number} twice"
            self.numbers.append(number)
        return [message for message in messages if message["sender"] != self.user]


def refused(code, ask, *args, **keys):
    try:
        ask(*args, **keys)
    except Refused as error:
        assert error.name == code, f"{error} instead of {code}"
        return error
    raise AssertionError(f"granted instead of {code}")


def split(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def say(what):
    print(what, flush=True)


def talk(alice, bob):
    first = alice.client.send("hello, bob", username="bob")
    conversation = first["conversation"]
    assert first["number"] == 1, first
    (message,) = bob.messages(1)
    assert (message["text"], message["conversation"]) == ("hello, bob", conversation), message
    bob.client.request("mark", marks=[{"conversation": conversation, "read": 1}])
    while True:
        name, content = alice.client.wait_event()
        if name == "mark" and content["mark"].get("read"):
            break
    assert content["mark"] == {"conversation": conversation, "user": bob.user, "delivered": 1, "read": 1}, content
    say("a first message over two nodes, and its mark back")

    asked = [(one, one.client.ask_send(f"{one.name} {n}", conversation=conversation))
             for n in range(TALK) for one in (alice, bob)]
    numbers = sorted(one.client.answer(id)[1]["number"] for one, id in asked)
    assert numbers == list(range(2, 2 + 2 * TALK)), numbers
    for one, other in ((alice, bob), (bob, alice)):
        texts = [message["text"] for message in one.messages(TALK)]
        assert texts == [f"{other.name} {n}" for n in range(TALK)], texts
    bob.client.request("mark", marks=[{"conversation": conversation, "read": numbers[-1]}])
    alice.client.request("mark", marks=[{"conversation": conversation, "read": numbers[-1]}])
    say(f"{2 * TALK} messages in flight at once, each told once and in order")
    return conversation


def come_back(alice, bob, conversation, address):
    seen = max(alice.numbers)
    old_token = alice.client.state["token"]
    last_seq = alice.client.state["seq"] - 1
    alice.client.close()
    for n in range(3):
        bob.client.send(f"while you were away {n}", conversation=conversation)
    alice.connect(address)
    session = alice.client.resume()
    assert session["last_seq"] == last_seq and session["token"] != old_token, session
    told = [message for part in alice.client.sync() for message in part.get("messages", [])]
    missed = [message["text"] for message in alice.take(told) if message["number"] > seen]
    assert missed == [f"while you were away {n}" for n in range(3)], missed
    say("resumed with the token on the other node, and told what was missed from the cursor on")

    seq = alice.client.take_seq()
    sent = [alice.client.request("send", conversation=conversation, text="once", seq=seq) for _ in range(2)]
    assert sent[0] == sent[1], sent
    refused("out_of_order", alice.client.request, "send", conversation=conversation, text="no", seq=seq + 2)
    (message,) = bob.messages(1)
    assert message["text"] == "once" and message["number"] == sent[0]["number"], message
    say("a write sent twice is done once, and one that is too early is not done")

    seq = alice.client.take_seq()
    refused("malformed", alice.client.request, "view_limit", view_limit=0, seq=seq)
    try:
        alice.client.request("clear", seq=seq)
    except Refused as settled:
        assert settled.remedy == "give up", settled
    alice.client.request("view_limit", view_limit=VIEW_LIMIT, seq=alice.client.take_seq())
    say("a write that is refused for good holds up nobody once its number is settled")


def fall_behind(bob, alice, conversation, address):
    state = dict(bob.client.state, behind=[])
    bob.client.close()
    for n in range(BACKLOG):
        alice.client.send(f"backlog {n}", conversation=conversation)
    bob.client.state = state
    bob.connect(address)
    bob.client.resume()
    parts = bob.client.sync()
    told = bob.take([message for part in parts for message in part.get("messages", [])])
    assert bob.client.state["behind"] == [conversation], parts
    while bob.client.state["behind"]:
        reply = bob.client.next(conversation, max(bob.numbers))
        assert len(reply.get("messages", [])) <= VIEW_LIMIT, reply
        told += bob.take(reply.get("messages", []))
    assert [message["text"] for message in told] == [f"backlog {n}" for n in range(BACKLOG)], told
    alice.client.send("live again", conversation=conversation)
    (message,) = bob.messages(1)
    assert message["text"] == "live again", message
    say("a backlog above the view limit is fetched part by part, and then messages are pushed again")


def tokens(page, address):
    eve = Person(page, "eve")
    eve.connect(address).signup(eve.name, eve.password)
    stolen = eve.client.state["token"]
    for _ in range(2):
        eve.client.close()
        eve.connect(address).resume()
    owner = eve.client
    owner.sync()
    thief = Client(page, *split(address), state=dict(owner.state, token=stolen))
    refused("token_reused", thief.resume)
    try:
        while True:
            owner.wait_event()
    except Closed as closed:
        assert page.error(closed.bye["code"]) == ("revoked", "log in"), closed.bye
    eve.connect(address)
    refused("bad_token", eve.client.resume)
    session = eve.client.login(eve.name, eve.password)
    assert session["device"] != thief.state["device"], session
    say("an old token logs its device out, and the password makes a new one")


def refusals(page, address):
    client = Client(page, *split(address))
    refused("unknown_request", client.request, "sing", loudly=True)
    refused("not_logged_in", client.request, "account")
    refused("out_of_place", client.request, "hello", samira=2)
    refused("bad_credentials", client.login, "alice", "not it")
    refused("name_taken", client.signup, "alice", "mine")
    refused("name_refused", client.signup, " edge", "mine")
    assert client.request("ping", unheard_of=[{"of": 1.5}], neither=None) == {}
    client.close()
    error = refused("version", Client, page, *split(address), version=1)
    assert error.remedy == "give up", error
    say("refusals have the codes of the page, and unknown keys are skipped")


def main(address_a, address_b, page):
    page = Page(page)
    alice, bob = Person(page, "alice"), Person(page, "bob")
    for one, address in ((alice, address_a), (bob, address_b)):
        session = one.connect(address).signup(one.name, one.password, device_name="python")
        one.user = session["user"]
        assert session["view_limit"] == VIEW_LIMIT and len(session["token"]) == 24, session
        parts = one.client.sync()
        assert not any(part.get("messages") for part in parts), parts
    say("signed up, logged in and in sync on two nodes")
    conversation = talk(alice, bob)
    come_back(alice, bob, conversation, address_b)
    fall_behind(bob, alice, conversation, address_a)
    refusals(page, address_a)
    tokens(page, address_b)
    alice.client.request("logout")
    bob.client.close()
    say("all as the page says")


if __name__ == "__main__":
    main(*sys.argv[1:])
