"""The original's client, as far as servers notice it: how it finds them, and where it goes when one fails.

It asks a server for all servers over a channel of its own. Every call goes to the server that answered last. On any status
but OK that one is marked unavailable, and each other server that is not marked is tried once; the first that answers is
the one to go to from then on, and is asked for all servers, which takes the marks from those it names. A client that has
marked all of them is stuck: it never tries again until its user restarts it.
"""

import grpc

from grpc_common import ask


class Stuck(Exception):
    """All servers are marked unavailable."""


class Original:
    """One such client."""

    def __init__(self, address):
        self.known = {address: True}
        self.primary, self.channel = None, None
        self.go_to(address)
        # What failed so far: where, and with which status.
        self.failures = []
        self.discover(address)

    def go_to(self, address):
        if self.channel:
            self.channel.close()
        self.primary, self.channel = address, grpc.insecure_channel(address)

    def discover(self, address):
        """Asks for all servers. Failure is of no consequence."""
        with grpc.insecure_channel(address) as channel:
            try:
                state = ask(channel, "GetNetworkState", server_id="client")
            except grpc.RpcError:
                return False
        self.known |= {server.address: True for server in state.servers}
        return True

    def call(self, method, **fields):
        """The reply, whatever it says.

        Raises Stuck where the original told its user that all replicas are unavailable.
        """
        try:
            return ask(self.channel, method, **fields)
        except grpc.RpcError as error:
            self.mark(self.primary, error)
        for address in [address for address, available in self.known.items() if available]:
            channel = grpc.insecure_channel(address)
            try:
                reply = ask(channel, method, **fields)
            except grpc.RpcError as error:
                self.mark(address, error)
                channel.close()
                continue
            self.channel.close()
            self.primary, self.channel = address, channel
            self.discover(address)
            return reply
        raise Stuck

    def mark(self, address, error):
        self.known[address] = False
        self.failures.append((address, error.code(), error.details()))

    def restart(self):
        """What the user of a stuck client does, except that nobody logs in again."""
        for address in list(self.known):
            if self.discover(address):
                self.go_to(address)
                return
