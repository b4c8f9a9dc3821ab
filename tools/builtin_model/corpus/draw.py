"""Random choices that remember what they chose, and keep the held-out split out of the training.

Held out are: of every slot (names, cities, numbers, ...) the values whose hash falls on a sixteenth,
and of every list of five or more templates the last one. Training text never has either; held-out
text always has at least one.
"""
import random
import zlib

HELD_OUT_SHARE = 16
MIN_FORMS_TO_HOLD_OUT = 5


class Rejected(Exception):
    """This draw belongs to the other split, or makes no sense; the caller draws again."""


def is_held_out(kind, value):
    return zlib.crc32(f"{kind}:{value}".encode()) % HELD_OUT_SHARE == 0


class Draw:
    """One document's random source. `key` lists the choices: template and slots, but not noise."""

    def __init__(self, seed, held_out):
        self.random = random.Random(seed)
        self.held_out_split = held_out
        self.used_held_out = False
        self.key = []

    def _note(self, kind, value, held_out):
        if held_out and not self.held_out_split:
            raise Rejected
        self.used_held_out |= held_out
        self.key.append((kind, str(value)))
        return value

    def slot(self, kind, values):
        """One of the values; in training text none that is held out."""
        while True:
            value = self.random.choice(values)
            held_out = is_held_out(kind, value)
            if self.held_out_split or not held_out:
                return self._note(kind, value, held_out)

    def slots(self, kind, values, count):
        """`count` different values."""
        allowed = [v for v in values if self.held_out_split or not is_held_out(kind, v)]
        chosen = self.random.sample(allowed, count)
        for value in chosen:
            self._note(kind, value, is_held_out(kind, value))
        return chosen

    def form(self, kind, forms):
        """One of the templates; the last of a long list only in held-out text."""
        last = len(forms) - 1
        holds_out = len(forms) >= MIN_FORMS_TO_HOLD_OUT
        index = self.random.randint(0, last)
        while holds_out and index == last and not self.held_out_split:
            index = self.random.randint(0, last)
        self._note(kind + "#", index, holds_out and index == last)
        return forms[index]

    def values(self, kind, *values):
        """Notes values chosen outside (numbers, combinations); raises Rejected if held out."""
        text = ",".join(map(str, values))
        self._note(kind, text, is_held_out(kind, text))

    def one_of(self, values):
        """A choice that makes no difference to what is asked: wording, noise."""
        return self.random.choice(values)

    def number(self, low, high):
        return self.random.randint(low, high)

    def chance(self, probability):
        return self.random.random() < probability
