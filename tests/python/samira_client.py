"""A small client of Samira's own dialect in SAMIRA/2, made from docs/wire.md alone.

What that page says in tables (tags, keys, error codes) is read from it at run time; the rest is written here.
Standard library only, Python 3.9 or later. Without TLS, for the reason that the page gives, so for servers on this
machine, or those started with `--plaintext any`.

    page = Page("docs/wire.md")
    client = Client(page, "127.0.0.1", 5555)
    client.login("al", "secret")
    client.sync()
    client.send("hello", username="bob")
    event, content = client.wait_event()
"""

import collections
import hashlib
import socket
import struct
import unicodedata

PREFACE = bytes.fromhex("a2534d32")
VERSION = 2
DEPTH_MAX = 16
UNKNOWN = "?"


class Malformed(Exception):
    """Bytes that are no message."""


class Refused(Exception):
    """A request was answered with an error."""

    def __init__(self, code, name, remedy, text, retry_ms):
        super().__init__(f"{code} {name}: {text}")
        self.code, self.name, self.remedy, self.retry_ms = code, name, remedy, retry_ms


class Closed(Exception):
    """The connection has ended; `bye` is what the node said to that."""

    def __init__(self, bye=None):
        super().__init__(f"the connection was closed: {bye}")
        self.bye = bye


Row = collections.namedtuple("Row", "first last kind further base")


class Page:
    """The description of the format, and the format it describes."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as page:
            self._lines = page.read().splitlines()
        self.rows = []
        for tags, kind, further, base in self._table("first byte", "value", "further bytes", "counts from"):
            first, _, last = tags.partition(" to ")
            further = {"none": 0, "varint": None}.get(further, further)
            further = further if further is None else int(further)
            self.rows.append(Row(int(first, 16), int(last or first, 16), kind, further, int(base)))
        self._by_tag = {tag: row for row in self.rows for tag in range(row.first, row.last + 1)}
        self.keys = [name for row in self._table("index", "+0") for name in row[1:] if name]
        self._index = {name: index for index, name in enumerate(self.keys)}
        self.errors = {int(row[0]): (row[1], row[2]) for row in self._table("number", "code", "remedy")}

    def _table(self, *header):
        """The rows of the table whose first row begins with `header`."""
        def cells(line):
            return [cell.strip() for cell in line.strip("|").replace("`", "").split("|")]

        rows, found = [], False
        for line in self._lines:
            if found and not line.startswith("|"):
                return rows[1:]
            if found:
                rows.append(cells(line))
            elif line.startswith("|") and cells(line)[:len(header)] == list(header):
                found = True
        if not found:
            raise ValueError(f"the page has no table {header}")
        return rows[1:]

    def error(self, code):
        """Name and remedy of an error code."""
        unknown = "retry" if code < 100 else "log in" if code < 200 else "give up"
        return self.errors.get(code, ("unknown", unknown))

    # ---- writing ----

    def encode(self, message):
        """The bytes of a message, without the length in front."""
        return b"".join(self._key(key) + self._value(value) for key, value in message.items())

    def _key(self, key):
        if key in self._index:
            return bytes([self._index[key]])
        text = key.encode()
        return (bytes([0xE0 + len(text)]) if len(text) < 31 else b"\xff" + varint(len(text) - 31)) + text

    def _value(self, value):
        # A boolean is an integer too in Python, and so comes first.
        if isinstance(value, bool):
            return self._number("boolean", int(value))
        if value is None:
            return self._number("null", 0)
        if isinstance(value, int):
            return self._number("integer", value) if value >= 0 else self._number("negative integer", -1 - value)
        if isinstance(value, float):
            row = next(row for row in self.rows if row.kind == "float")
            return bytes([row.first]) + struct.pack(">d", value)
        if isinstance(value, str):
            text = value.encode()
            return self._number("text", len(text)) + text
        if isinstance(value, (bytes, bytearray)):
            return self._number("bytes", len(value)) + bytes(value)
        if isinstance(value, (list, tuple)):
            return self._number("array", len(value)) + b"".join(map(self._value, value))
        if isinstance(value, dict):
            return self._number("dictionary", len(value)) + self.encode(value)
        raise TypeError(f"SAMIRA/2 has no {type(value).__name__}")

    def _number(self, kind, number):
        """The first bytes of a value of that kind: of the rows that have the number, the one that is shortest."""
        varints = []
        for row in self.rows:
            if row.kind != kind or number < row.base:
                continue
            if row.further is None:
                varints.append(row)
                continue
            place, rest = divmod(number - row.base, 256 ** row.further)
            if row.first + place <= row.last:
                return bytes([row.first + place]) + rest.to_bytes(row.further, "big")
        if not varints or number >= 2 ** 64:
            raise ValueError(f"SAMIRA/2 has no {kind} {number}")
        return bytes([varints[0].first]) + varint(number - varints[0].base)

    # ---- reading ----

    def decode(self, body):
        """The message that fills `body`."""
        reader = Reader(body)
        message = {}
        while reader.left():
            key = self._read_key(reader)
            message[key] = self._read_value(reader, 1)
        return message

    def _read_key(self, reader):
        first = reader.byte()
        if first < 0xE0:
            return self.keys[first] if first < len(self.keys) else UNKNOWN
        return reader.text(first - 0xE0 if first < 0xFF else 31 + reader.varint())

    def _read_value(self, reader, depth):
        tag = reader.byte()
        row = self._by_tag.get(tag)
        if row is None or row.kind == "reserved":
            raise Malformed(f"the tag {tag:02x} at {reader.at - 1}")
        if row.kind == "float":
            return struct.unpack(">d", reader.take(8))[0]
        if row.further is None:
            number = row.base + reader.varint()
        else:
            place = (tag - row.first) * 256 ** row.further
            number = row.base + place + int.from_bytes(reader.take(row.further), "big")
        if row.kind == "integer" and number < 2 ** 64:
            return number
        if row.kind == "negative integer" and number < 2 ** 63:
            return -1 - number
        if row.kind == "boolean":
            return number == 1
        if row.kind == "null":
            return None
        if row.kind == "text":
            return reader.text(number)
        if row.kind == "bytes":
            return reader.take(number)
        if row.kind not in ("array", "dictionary"):
            raise Malformed(f"{row.kind} {number} before {reader.at}")
        if depth == DEPTH_MAX:
            raise Malformed("nesting")
        if number > reader.left():
            raise Malformed(f"{number} things cannot follow at {reader.at}")
        if row.kind == "array":
            return [self._read_value(reader, depth + 1) for _ in range(number)]
        return {self._read_key(reader): self._read_value(reader, depth + 1) for _ in range(number)}

    def frame(self, message):
        """A message with its length in front."""
        body = self.encode(message)
        return varint(len(body)) + body

    def unframe(self, received):
        """The first message in `received` and the bytes it took, or None if it is not whole."""
        reader = Reader(received)
        try:
            body = reader.take(reader.varint())
        except Truncated:
            return None
        return self.decode(body), reader.at


class Truncated(Malformed):
    """Bytes that end too early."""


class Reader:
    """Takes bytes from the front."""

    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise Truncated(f"{count} bytes at {self.at}")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def text(self, count):
        try:
            return self.take(count).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Malformed(f"text before {self.at} is not UTF-8") from error

    def varint(self):
        number = 0
        for bits in range(0, 70, 7):
            byte = self.byte()
            if (byte == 0 and bits > 0) or (bits == 63 and byte > 1):
                break
            number |= (byte & 0x7F) << bits
            if byte < 0x80:
                return number
        raise Malformed(f"varint before {self.at}")


def varint(number):
    """An unsigned number, seven bits in a byte, the lowest first."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def password_hash(password):
    """What is sent of a password."""
    return hashlib.sha256(unicodedata.normalize("NFC", password).encode()).hexdigest()


class Client:
    """One connection, and what a device keeps over connections: see `state`."""

    def __init__(self, page, host, port, state=None, version=VERSION, timeout=60.0):
        self.page = page
        # Device, newest token, cursor, conversations that are behind, next number of a write.
        self.state = {"device": 0, "token": None, "cursor": 0, "behind": [], "seq": 0} if state is None else state
        self.events = collections.deque()
        self._replies = {}
        self._next_id = 1
        self._input = bytearray()
        self._bye = None
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(PREFACE)
        self._preface = len(PREFACE)
        self.welcome = self.request("hello", samira=version, client="samira_client.py")

    def close(self):
        self._socket.close()

    # ---- requests ----

    def ask(self, name, **keys):
        """Sends a request without waiting; returns its id. Keys with their default are left out."""
        id = self._next_id
        self._next_id += 1
        content = {key: value for key, value in keys.items() if value not in (0, "", None, [])}
        self._socket.sendall(self.page.frame({"id": id, name: content}))
        return id

    def answer(self, id):
        """Waits for the reply to a request: its name and content. Events that come meanwhile are kept."""
        while id not in self._replies:
            self._receive()
        name, content = self._replies.pop(id)
        if name == "error":
            code = content.get("code", 0)
            error, remedy = self.page.error(code)
            raise Refused(code, error, remedy, content.get("text", ""), content.get("retry_ms", 0))
        return name, content

    def request(self, name, **keys):
        """Sends a request and waits for what its reply has."""
        return self.answer(self.ask(name, **keys))[1]

    def signup(self, username, password, nickname="", device_name=""):
        return self._entered("signup", username=username, password=password_hash(password), nickname=nickname,
                             device_name=device_name)

    def login(self, username, password, device_name=""):
        return self._entered("login", username=username, password=password_hash(password),
                             device=self.state["device"], device_name=device_name)

    def resume(self):
        return self._entered("resume", device=self.state["device"], token=self.state["token"])

    def _entered(self, name, **keys):
        session = self.request(name, **keys)
        if session.get("stale"):
            # No majority answers: nobody makes devices and tokens now, and those from before stay good.
            return session
        self.state["device"] = session.get("device", 0)
        # None comes where it would travel in the clear.
        self.state["token"] = session.get("token")
        self.state["seq"] = max(self.state["seq"], session.get("last_seq", 0) + 1)
        return session

    def take_seq(self):
        """The number for the next write of this device. Whoever wants to lose nothing stores it with the write."""
        self.state["seq"] += 1
        return self.state["seq"] - 1

    def ask_send(self, text, conversation=0, username=""):
        return self.ask("send", conversation=conversation, username=username, text=text, seq=self.take_seq())

    def send(self, text, conversation=0, username=""):
        """Sends a message to a conversation or a person; returns where it stands."""
        return self.answer(self.ask_send(text, conversation, username))[1]

    # ---- what happens ----

    def sync(self):
        """Asks what happened behind the cursor, to the end; returns the parts. From then on events are pushed."""
        parts = []
        while True:
            changes = self.request("sync", cursor=self.state["cursor"], behind=list(self.state["behind"]))
            self._keep_changes(changes)
            parts.append(changes)
            if not changes.get("more"):
                return parts

    def next(self, conversation, after):
        """Fetches unread messages of a conversation that is behind."""
        reply = self.request("next", conversation=conversation, after=after)
        if not reply.get("more") and conversation in self.state["behind"]:
            self.state["behind"].remove(conversation)
        return reply

    def wait_event(self):
        """The next event: its name and content. The cursor moves past it."""
        while not self.events:
            self._receive()
        name, content = self.events.popleft()
        if name == "update":
            self._keep_changes(content)
        elif "id" in content:
            self.state["cursor"] = max(self.state["cursor"], content["id"])
        return name, content

    def _keep_changes(self, changes):
        if changes.get("resync"):
            self.state["behind"].clear()
        for summary in changes.get("conversations", []):
            known = summary["conversation"] in self.state["behind"]
            if summary.get("behind") and not known:
                self.state["behind"].append(summary["conversation"])
        self.state["cursor"] = changes.get("cursor", 0)

    # ---- bytes ----

    def _receive(self):
        """Takes in what the node sends next."""
        if self._bye is not None:
            raise Closed(self._bye)
        received = self._socket.recv(1 << 16)
        if not received:
            raise Closed()
        self._input += received
        if self._preface and len(self._input) >= self._preface:
            if self._input[:self._preface] != PREFACE:
                raise Malformed(f"the preface {bytes(self._input[:self._preface]).hex()}")
            del self._input[:self._preface]
            self._preface = 0
        while not self._preface:
            unframed = self.page.unframe(self._input)
            if unframed is None:
                return
            message, length = unframed
            del self._input[:length]
            self._take(message)

    def _take(self, message):
        re = message.pop("re", None)
        message.pop(UNKNOWN, None)
        name, content = next(iter(message.items()), (None, {}))
        if re is not None:
            self._replies[re] = (name, content)
        elif name == "bye":
            self._bye = content
        elif name is not None:
            self.events.append((name, content))
