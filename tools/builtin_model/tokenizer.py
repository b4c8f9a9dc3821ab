"""Byte-level BPE: training, encoding, decoding. Tokens are bytes here and become GGUF's printable
form (byte_to_unicode) only at export."""
import collections
import heapq
import json

import regex

# The pre-tokenizer that Hearth and other programs know as "qwen2": every digit stands alone, which
# is what makes arithmetic learnable.
PRE_TOKENIZER = "qwen2"
_SPLIT = regex.compile(
    r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (END_OF_TEXT, START, END)
_SPECIAL = regex.compile("(" + "|".join(regex.escape(s) for s in SPECIALS) + ")")


def byte_to_unicode():
    """The 256 printable characters that stand for bytes in GGUF vocabularies of the gpt2 kind."""
    keep = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in keep}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(0x100 + len(table) - len(keep))
    return table


def count_words(texts):
    """Pieces of the pre-tokenizer with their counts, special tokens left out."""
    counts = collections.Counter()
    for text in texts:
        for part in _SPECIAL.split(text):
            if part not in SPECIALS:
                counts.update(_SPLIT.findall(part))
    return counts


def train(counts, vocab_size):
    """Learns merges from word counts: (left, right) pairs of bytes, most frequent first, ties by the
    bytes. Pair counts are kept up to date, so each merge costs only the words that hold it."""
    words = [[bytes([b]) for b in word.encode()] for word in counts]
    frequency = list(counts.values())
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for index, word in enumerate(words):
        for pair in zip(word, word[1:]):
            pairs[pair] += frequency[index]
            where[pair].add(index)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    merges, known = [], {bytes([b]) for b in range(256)}
    while len(known) < vocab_size - len(SPECIALS) and heap:
        count, pair = heapq.heappop(heap)
        if -count != pairs[pair]:
            continue  # an older count; the current one is further down
        if count == 0:
            break
        merges.append(pair)
        known.add(pair[0] + pair[1])
        changed = set()
        for index in where.pop(pair):
            old = words[index]
            new = _merge(old, pair)
            for gone in zip(old, old[1:]):
                pairs[gone] -= frequency[index]
                changed.add(gone)
            for come in zip(new, new[1:]):
                pairs[come] += frequency[index]
                where[come].add(index)
                changed.add(come)
            words[index] = new
        for each in changed:
            if pairs[each] > 0:
                heapq.heappush(heap, (-pairs[each], each))
            else:
                del pairs[each]
    return merges


def _merge(word, pair):
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(pair[0] + pair[1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


class Tokenizer:
    """Ids: 256 bytes, then merges in order, then filler up to a full table, specials last."""

    def __init__(self, merges, vocab_size):
        self.merges = [tuple(pair) for pair in merges]
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        tokens = [bytes([b]) for b in range(256)]
        tokens += dict.fromkeys(left + right for left, right in self.merges)
        self.num_plain = len(tokens)
        if len(tokens) > vocab_size - len(SPECIALS):
            raise ValueError(f"{len(tokens)} tokens and the specials exceed {vocab_size}")
        self.num_unused = vocab_size - len(SPECIALS) - len(tokens)
        self.tokens = tokens
        self.vocab_size = vocab_size
        self.ids = {token: i for i, token in enumerate(tokens)}
        self.special_ids = {s: vocab_size - len(SPECIALS) + i for i, s in enumerate(SPECIALS)}
        self._cache = {}

    @property
    def end_id(self):
        return self.special_ids[END]

    def encode(self, text):
        """Text with special tokens recognised -> ids."""
        ids = []
        for part in _SPECIAL.split(text):
            if part in self.special_ids:
                ids.append(self.special_ids[part])
            else:
                for word in _SPLIT.findall(part):
                    if word not in self._cache:
                        self._cache[word] = self._encode_word(word)
                    ids += self._cache[word]
        return ids

    def _encode_word(self, word):
        parts = [bytes([b]) for b in word.encode()]
        while len(parts) > 1:
            pair = min(zip(parts, parts[1:]), key=lambda p: self.rank.get(p, len(self.rank)))
            if pair not in self.rank:
                break
            parts = _merge(parts, pair)
        return [self.ids[part] for part in parts]

    def decode(self, ids):
        names = {i: s.encode() for s, i in self.special_ids.items()}
        data = b"".join(names.get(i) or self.tokens[i] for i in ids)
        return data.decode(errors="replace")

    def save(self, path):
        pairs = [[left.hex(), right.hex()] for left, right in self.merges]
        with open(path, "w") as file:
            json.dump({"vocab_size": self.vocab_size, "merges": pairs}, file)

    @classmethod
    def load(cls, path):
        with open(path) as file:
            data = json.load(file)
        merges = [(bytes.fromhex(left), bytes.fromhex(right)) for left, right in data["merges"]]
        return cls(merges, data["vocab_size"])
