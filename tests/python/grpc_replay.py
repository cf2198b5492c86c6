"""Says to a cluster, byte by byte, what was once said to the original's servers, and compares the answers.

    python grpc_replay.py TRANSCRIPT TABLE NAME=HOST:PORT...

Answers must be equal field by field, with two exceptions. Times are those of each run, so only their form counts. Names
and addresses of the servers are those of each run too: the nodes that are given stand for server1, server2 and so on.

What is to be different stands in the table, one row for each request. A difference that is in no row fails, and so does a
row without a difference. Of a status the code counts: its words are for people.
"""

import json
import pathlib
import re
import sys

import grpc
from google.protobuf import text_format

from grpc_common import find, send

# As in the recordings.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
# The original counted its terms otherwise; those of a young cluster are below the one that the recordings forge.
YOUNG_TERM = re.compile(r"\bterm: [1-9]\d?\b(?<!term: 99)")

# A list of servers has no order.
SERVER = re.compile(r"servers \{[^}]*\} ")
SERVERS = re.compile(f"({SERVER.pattern})+")


class Exchange:
    """A request and its answer: the number of its line, who was asked, what, and what came back."""

    def __init__(self, line, asked, reply):
        self.line, self.server = line, reply["conn"]
        if asked is None:
            # The recorder did not write these requests down, which are all the same.
            path, self.what, self.request = "/replication.ReplicationService/GetNetworkState", reply["note"], b"\n\6client"
        else:
            path, _, self.what = asked["note"].partition(" ")
            self.request = bytes.fromhex(asked["hex"])
        self.path, self.method = path, path.rpartition("/")[2]
        status = re.match(r"status (\w+): (.*)", reply["note"])
        self.answer = said(*status.groups()) if status else self.read(bytes.fromhex(reply["hex"]))

    def read(self, reply):
        """A reply in words: all its fields in the order of their numbers."""
        message = find(self.method)[2].FromString(reply)
        for shown in getattr(message, "messages", []):
            if TIME.fullmatch(shown.timestamp):
                shown.timestamp = "TIME"
        return f"OK {text_format.MessageToString(message, as_one_line=True, as_utf8=True)}".strip()

    def replay(self, channel):
        """What a node answers."""
        try:
            return self.read(send(channel, self.path, self.request))
        except grpc.RpcError as error:
            return said(error.code().name, error.details())


def comparable(answer, known_as):
    """An answer with the recording's names and addresses instead of ours."""
    names = re.compile("|".join(map(re.escape, known_as)) or "$.")
    answer = names.sub(lambda match: known_as[match[0]], answer)
    return SERVERS.sub(lambda run: "".join(sorted(SERVER.findall(run[0]))), answer)


def said(code, words):
    return f"{code}: {words}"


def code_of(answer):
    """What counts of an answer: all of a reply, the code of a status."""
    return answer if answer.startswith("OK") else answer.partition(":")[0]


def exchanges(path):
    """All of a recording, in order, and the numbers of lines that are one half without the other."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found, halves, asked = [], [], {}
    for number, line in enumerate(lines, 1):
        if line["dir"] == "c2s":
            halves += [asked[line["conn"]][0]] if line["conn"] in asked else []
            asked[line["conn"]] = number, line
        elif line["conn"] in asked:
            found.append(Exchange(asked[line["conn"]][0], asked.pop(line["conn"])[1], line))
        elif line["note"].startswith("GetNetworkState of"):
            found.append(Exchange(number, None, line))
        else:
            halves.append(number)
    return found, halves


def rows(path, transcript):
    """The rows of the table under the recording's heading: number -> [request, the original, here, why]."""
    table, heading = {}, None
    for line in path.read_text().splitlines():
        heading = line[3:].strip() if line.startswith("## ") else heading
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if heading == transcript and cells[0].isdecimal():
            assert len(cells) == 5 and all(cells), f"a row of {path.name} has not five cells: {line}"
            assert cells[4] != "WHY", f"a row of {path.name} has no reason: {line}"
            assert int(cells[0]) not in table, f"{path.name} has two rows for line {cells[0]}"
            table[int(cells[0])] = cells[1:]
    return table


def main(transcript, table, *nodes):
    transcript, table = pathlib.Path(transcript), pathlib.Path(table)
    found, halves = exchanges(transcript)
    recorded = {}
    for exchange in found:
        for name, address in re.findall(r'server_id: "(server\d)" address: "([\d.:]+)"', exchange.answer):
            recorded[name] = address
    channels, known_as = {}, {}
    for place, node in enumerate(nodes, 1):
        name, _, address = node.partition("=")
        channels[f"server{place}"] = channels["single"] = grpc.insecure_channel(address)
        known_as[f'"{name}"'], known_as[f'"{address}"'] = f'"server{place}"', f'"{recorded[f"server{place}"]}"'

    expected, wrong = rows(table, transcript.name), []
    for exchange in found:
        answer = comparable(exchange.replay(channels[exchange.server]), known_as)
        answer = YOUNG_TERM.sub("term: TERM", answer)
        original = comparable(exchange.answer, {})
        what = f"{exchange.method}: {exchange.what}".strip(": ")
        row = expected.pop(exchange.line, None)
        here = [what, original, answer]
        if code_of(answer) == code_of(original):
            if row:
                wrong.append(f"line {exchange.line} needs no row any more: both answer {answer}")
        elif row is None or row[:3] != here:
            wrong.append(f"line {exchange.line} is answered otherwise; the row must be\n| {exchange.line} | "
                         + " | ".join(here) + " | WHY |" + (f"\ninstead of\n{row}" if row else ""))
    wrong += [f"the table has a row for line {line}, which is no request" for line in expected]
    print(f"{transcript.name}: {len(found)} requests replayed; lines {halves} are halves of exchanges and were left out")
    if wrong:
        sys.exit("\n".join(wrong))


main(*sys.argv[1:])
