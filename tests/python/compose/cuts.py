"""Cuts in the network: what one container sends to another is dropped, in one direction or in both.

The rules stand in the network namespace of the one that no longer hears, so that nothing else notices.
"""

import json

TABLE = "laneway_cut"
BOTH, THERE, BACK = "both ways", "one way", "the other way"


class Cuts:
    def __init__(self, stack):
        self.stack = stack
        self.deaf = {}  # by container: the addresses that it does not hear

    def cut(self, one, other, ways=BOTH):
        """`THERE`: the other does not hear the one. `BACK`: the one does not hear the other."""
        if ways in (BOTH, THERE):
            self._deafen(other, one)
        if ways in (BOTH, BACK):
            self._deafen(one, other)

    def _deafen(self, listener, speaker):
        address = self.stack.address(speaker)
        rules = f"""
            table inet {TABLE} {{
                chain input {{
                    type filter hook input priority -300; policy accept;
                    ip saddr {address} counter drop
                }}
            }}"""
        self.stack.in_network_of(listener, "nft", "--file", "-", given=rules)
        self.deaf.setdefault(listener, []).append(address)

    def dropped(self):
        """How many packets the cuts have dropped."""
        total = 0
        for listener in self.deaf:
            listed = json.loads(self.stack.in_network_of(listener, "nft", "--json", "list", "table", "inet", TABLE))
            rules = [item["rule"]["expr"] for item in listed["nftables"] if "rule" in item]
            total += sum(part["counter"]["packets"] for rule in rules for part in rule if "counter" in part)
        return total

    def mend(self):
        """Takes all rules out again. A container that ended took its own with it."""
        for listener in list(self.deaf):
            if self.stack.state(listener)["Running"]:
                away = f"add table inet {TABLE}\ndelete table inet {TABLE}"
                self.stack.in_network_of(listener, "nft", "--file", "-", given=away)
            del self.deaf[listener]
