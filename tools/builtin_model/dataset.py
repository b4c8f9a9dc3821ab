"""Documents as tokens: made once from the corpus, then drawn by (seed, step)."""
import json

import numpy
import torch

import tokenizer as bpe

VOCAB_SIZE = 4096
# Answers have weight 1. Of what the model only reads, one token in READ_STRIDE counts: on average
# 0.15 a token, without the cost of all their logits.
READ_STRIDE, READ_WEIGHT = 4, 0.6
LENGTH_STEP = 16  # documents are padded to a multiple of it


def prepare(folder, seed):
    """(train, held_out, tokenizer) of a folder, trained and tokenized at the first call."""
    path = folder / "tokenizer.json"
    if not path.exists():
        print("training the tokenizer", flush=True)
        counts = bpe.count_words(text for text in _texts(folder / "train.jsonl"))
        bpe.Tokenizer(bpe.train(counts, VOCAB_SIZE), VOCAB_SIZE).save(path)
    tokenizer = bpe.Tokenizer.load(path)
    return _load(folder, "train", tokenizer, seed), _load(folder, "held_out", tokenizer,
                                                          seed), tokenizer


def _texts(path):
    with open(path) as file:
        for line in file:
            yield json.loads(line)["text"]


def _load(folder, name, tokenizer, seed):
    path = folder / f"{name}.npz"
    if not path.exists():
        print(f"tokenizing {name}", flush=True)
        flat, weights, ends = [], [], []
        for text in _texts(folder / f"{name}.jsonl"):
            ids = tokenizer.encode(text) + [tokenizer.special_ids[bpe.END_OF_TEXT]]
            flat += ids
            weights += answer_mask(ids, tokenizer)
            ends.append(len(flat))
        numpy.savez(path, flat=numpy.array(flat, numpy.uint16), answer=numpy.array(weights, bool),
                    ends=numpy.array(ends))
    data = numpy.load(path)
    return Documents(data["flat"], data["answer"], data["ends"], seed,
                     tokenizer.special_ids[bpe.END_OF_TEXT])


def answer_mask(ids, tokenizer):
    """True for each token that the model is to write: assistants' texts with their end, and all of a
    plain document but its first token."""
    start, end = tokenizer.special_ids[bpe.START], tokenizer.end_id
    if ids[0] != start:
        return [True] * len(ids)
    head = [start, *tokenizer.encode("assistant\n")]
    mask, inside = [], False
    for i, token in enumerate(ids):
        if token == start:
            inside = False
        mask.append(inside)
        if token == end:
            inside = False
        if ids[i + 1 - len(head):i + 1] == head:
            inside = True
    return mask


class Documents:
    """Tokens of all documents one after another, with where each ends."""

    def __init__(self, flat, answer, ends, seed, pad):
        self.flat, self.answer, self.ends, self.seed, self.pad = flat, answer, ends, seed, pad
        self.begins = numpy.concatenate([[0], ends[:-1]])
        self.lengths = ends - self.begins
        self._plans = {}

    def _batch(self, documents, epoch=0):
        """(tokens, targets, weights), each [documents, longest length - 1 rounded up]. Which read tokens
        count changes with the epoch."""
        longest = int(self.lengths[documents].max()) - 1
        longest = min(1024, -(-longest // LENGTH_STEP) * LENGTH_STEP)
        shape = (len(documents), longest)
        tokens, targets = numpy.full(shape, self.pad, numpy.int64), numpy.full(shape, self.pad,
            numpy.int64)
        weights = numpy.zeros(shape, numpy.float32)
        for row, document in enumerate(documents):
            span = slice(self.begins[document], self.ends[document])
            ids, answer = self.flat[span], self.answer[span]
            count = min(len(ids) - 1, longest)
            tokens[row, :count], targets[row, :count] = ids[:count], ids[1:count + 1]
            read = (numpy.arange(count) + document + epoch) % READ_STRIDE == 0
            weights[row, :count] = numpy.where(answer[1:count + 1], 1.0, READ_WEIGHT * read)
        return torch.from_numpy(tokens), torch.from_numpy(targets), torch.from_numpy(weights)

    def _epoch(self, epoch, micro_tokens):
        """Micro-batches of one epoch: documents of like length together, in random order. Their number
        is the same in every epoch, as it depends on the lengths alone."""
        if epoch not in self._plans:
            random = numpy.random.RandomState([self.seed, epoch])
            order = random.permutation(len(self.lengths))
            padded = -(-self.lengths // LENGTH_STEP) * LENGTH_STEP
            order = order[numpy.argsort(padded[order], kind="stable")]
            plan, first = [], 0
            while first < len(order):
                last = first + 1
                while last < len(
                    order) and (last + 1 - first) * padded[order[last]] <= micro_tokens:
                    last += 1
                plan.append(order[first:last])
                first = last
            random.shuffle(plan)
            self._plans = {epoch: plan}
        return self._plans[epoch]

    def step_batches(self, step, step_tokens, micro_tokens):
        """The micro-batches of a step: the same for the same seed and step."""
        count = step_tokens // micro_tokens
        epoch = next(iter(self._plans), 0)
        per_epoch = len(self._epoch(epoch, micro_tokens))
        places = (divmod(index, per_epoch) for index in range(step * count, (step + 1) * count))
        return [self._batch(self._epoch(epoch, micro_tokens)[place], epoch)
                for epoch, place in places]

    def fixed_batches(self, micro_tokens, num_documents):
        """The first documents, a few at a time."""
        for first in range(0, min(num_documents, len(self.ends)), 16):
            yield self._batch(numpy.arange(first, min(first + 16, num_documents, len(self.ends))))
