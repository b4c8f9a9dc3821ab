"""A forward pass in plain Python floats, from the published definitions of the architectures that
have no reference vectors: slow, short, and with nothing of Hearth in it.

reference_forward.py MODEL.gguf writes MODEL.json and MODEL.logits.bin beside an F32 model of
`hearth synth`, for `hearth verify`.
"""

import json
import math
import struct
import sys

TOKENS = [(i * 37 + 5) % 250 for i in range(24)]
NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
           11: "<q", 12: "<d"}
STRING, ARRAY, F32 = 8, 9, 0


class Model:
    """Metadata below the architecture's prefix, and tensors as (dims, values)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.at = 8
        num_tensors, num_keys = self.number("<Q"), self.number("<Q")
        metadata = {}
        for _ in range(num_keys):
            key = self.string()
            metadata[key] = self.value(self.number("<I"))
        self.arch = metadata["general.architecture"]
        self.keys = {k.removeprefix(self.arch + "."): v for k, v in metadata.items()}
        table = []
        for _ in range(num_tensors):
            name = self.string()
            dims = [self.number("<Q") for _ in range(self.number("<I"))]
            assert self.number("<I") == F32, name
            table.append((name, dims, self.number("<Q")))
        begin = (self.at + 31) // 32 * 32
        self.tensors = {
            name: (dims, struct.unpack_from(f"<{math.prod(dims)}f", self.bytes, begin + offset))
            for name, dims, offset in table}

    def number(self, form):
        value = struct.unpack_from(form, self.bytes, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def string(self):
        size = self.number("<Q")
        self.at += size
        return self.bytes[self.at - size:self.at].decode("utf-8", "replace")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element = self.number("<I")
            return [self.value(element) for _ in range(self.number("<Q"))]
        return self.number(NUMBERS[kind])

    def has(self, name):
        return name + ".weight" in self.tensors

    def vector(self, name):
        return self.tensors[name][1]

    def times(self, name, x, expert=0):
        """W x for the matrix NAME, or for one expert's."""
        dims, values = self.tensors[name + ".weight"]
        cols, rows = dims[0], dims[1]
        first = expert * cols * rows
        return [math.fsum(w * v for w, v in zip(values[at:at + cols], x))
                for at in range(first, first + cols * rows, cols)]


def rms_norm(x, weight, eps):
    scale = 1 / math.sqrt(sum(v * v for v in x) / len(x) + eps)
    return [v * scale * w for v, w in zip(x, weight)]


def layer_norm(x, weight, bias, eps):
    mean = sum(x) / len(x)
    scale = 1 / math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + eps)
    return [(v - mean) * scale * w + b for v, w, b in zip(x, weight, bias)]


def rotate(x, position, dim, base, halves):
    x = list(x)
    for i in range(dim // 2):
        a, b = (i, i + dim // 2) if halves else (2 * i, 2 * i + 1)
        angle = position * base ** (-2 * i / dim)
        cosine, sine = math.cos(angle), math.sin(angle)
        x[a], x[b] = x[a] * cosine - x[b] * sine, x[a] * sine + x[b] * cosine
    return x


def softmax(x):
    weights = [math.exp(v - max(x)) for v in x]
    return [w / sum(weights) for w in weights]


def silu(x):
    return x / (1 + math.exp(-x))


class Forward:
    def __init__(self, model):
        self.m, self.arch, self.k = model, model.arch, model.keys
        self.heads = self.k["attention.head_count"]
        self.kv_heads = self.k["attention.head_count_kv"]
        self.head_dim = self.k["attention.key_length"]
        self.eps = self.k.get("attention.layer_norm_rms_epsilon",
                              self.k.get("attention.layer_norm_epsilon"))
        self.cache = [[] for _ in range(self.k["block_count"])]  # (K, V) of each position

    def norm(self, name, x):
        weight = self.m.vector(name + ".weight")
        if self.arch in ("command-r", "cohere2"):
            return layer_norm(x, weight, [0] * len(x), self.eps)
        if self.arch in ("nemotron", "falcon"):
            return layer_norm(x, weight, self.m.vector(name + ".bias"), self.eps)
        return rms_norm(x, weight, self.eps)

    def norm_heads(self, name, x):
        """OLMo 2: all heads together. Command R+: each with weights of its own."""
        if self.arch == "olmo2":
            return self.norm(name, x)
        if self.arch != "command-r":
            return x
        weight, size, out = self.m.vector(name + ".weight"), self.head_dim, []
        for at in range(0, len(x), size):
            out += layer_norm(x[at:at + size], weight[at:at + size], [0] * size, self.eps)
        return out

    def rotate_heads(self, x, position):
        out, size = [], self.head_dim
        for at in range(0, len(x), size):
            head = rotate(x[at:at + size], position, self.k["rope.dimension_count"],
                          self.k["rope.freq_base"], self.arch in ("olmo2", "nemotron", "falcon"))
            out += rms_norm(head, [1] * size, self.eps) if self.arch == "llama4" else head
        return out

    def attention(self, layer, position, x):
        prefix, size = f"blk.{layer}.attn_", self.head_dim
        if self.m.has(prefix + "qkv"):
            qkv, at = self.m.times(prefix + "qkv", x), self.heads * size
            q, k, v = qkv[:at], qkv[at:at + self.kv_heads * size], qkv[at + self.kv_heads * size:]
        else:
            q, k, v = (self.m.times(prefix + name, x) for name in "qkv")
        q = self.norm_heads(prefix + "q_norm", q)
        k = self.norm_heads(prefix + "k_norm", k)
        first = 0
        rotated = self.arch not in ("smollm3", "llama4") or (layer + 1) % 4 != 0
        if self.arch == "cohere2":
            rotated = (layer + 1) % self.k["attention.sliding_window_pattern"] != 0
            if rotated:
                first = max(0, position + 1 - self.k["attention.sliding_window"])
        if rotated:
            q, k = self.rotate_heads(q, position), self.rotate_heads(k, position)
        self.cache[layer].append((k, v))
        seen = self.cache[layer][first:]
        scale, out = self.k.get("attention.scale", 1 / math.sqrt(size)), []
        for head in range(self.heads):
            mine = q[head * size:(head + 1) * size]
            at = head // (self.heads // self.kv_heads) * size
            weights = softmax([scale * sum(a * b for a, b in zip(mine, k[at:at + size]))
                               for k, _ in seen])
            out += [sum(w * v[at + i] for w, (_, v) in zip(weights, seen)) for i in range(size)]
        return self.m.times(prefix + "output", out)

    def dense(self, prefix, suffix, x):
        up = self.m.times(prefix + "up" + suffix, x)
        if self.arch in ("nemotron", "arcee"):
            inner = [max(v, 0) ** 2 for v in up]
        elif self.arch == "falcon":
            inner = [0.5 * v * math.erfc(-v / math.sqrt(2)) for v in up]
        else:
            inner = [silu(g) * u for g, u in zip(self.m.times(prefix + "gate" + suffix, x), up)]
        return self.m.times(prefix + "down" + suffix, inner)

    def experts(self, prefix, x):
        logits = self.m.times(prefix + "gate_inp", x)
        chosen = sorted(range(len(logits)), key=lambda e: -logits[e])[:self.k["expert_used_count"]]
        sigmoid = self.arch == "llama4"
        weights = ([1 / (1 + math.exp(-logits[e])) for e in chosen] if sigmoid
                   else softmax([logits[e] for e in chosen]))
        out = self.dense(prefix, "_shexp", x)
        for expert, weight in zip(chosen, weights):
            mine = [v * weight for v in x] if sigmoid else x  # Llama 4 weighs the input
            inner = [silu(g) * u for g, u in zip(self.m.times(prefix + "gate_exps", mine, expert),
                                                 self.m.times(prefix + "up_exps", mine, expert))]
            result = self.m.times(prefix + "down_exps", inner, expert)
            out = [o + (1 if sigmoid else weight) * r for o, r in zip(out, result)]
        return out

    def ffn(self, layer, x):
        prefix = f"blk.{layer}.ffn_"
        if self.m.has(prefix + "gate_inp"):
            return self.experts(prefix, x)
        return self.dense(prefix, "", x)

    def layer(self, layer, position, x):
        name, scale = f"blk.{layer}.", self.k.get("residual_scale", 1)
        if self.arch == "olmo2":  # norms behind the blocks only
            x = [a + b for a, b in zip(x, self.norm(name + "post_attention_norm",
                                                    self.attention(layer, position, x)))]
            return [a + b for a, b in zip(x, self.norm(name + "post_ffw_norm", self.ffn(layer, x)))]
        if self.arch == "falcon":  # 40B: a norm for each of two blocks side by side
            attention = self.attention(layer, position, self.norm(name + "attn_norm_2", x))
            ffn = self.ffn(layer, self.norm(name + "attn_norm", x))
            return [a + b + c for a, b, c in zip(x, attention, ffn)]
        normed = self.norm(name + "attn_norm", x)
        after = [a + scale * b for a, b in zip(x, self.attention(layer, position, normed))]
        if self.arch not in ("command-r", "cohere2"):  # these two have the blocks side by side
            normed = self.norm(name + "ffn_norm", after)
        return [a + scale * b for a, b in zip(after, self.ffn(layer, normed))]

    def logits(self, position, token):
        hidden = self.k["embedding_length"]
        row = self.m.vector("token_embd.weight")[token * hidden:(token + 1) * hidden]
        x = [v * self.k.get("embedding_scale", 1) for v in row]
        for layer in range(self.k["block_count"]):
            x = self.layer(layer, position, x)
        out = self.m.times("output", self.norm("output_norm", x))
        scale = self.k.get("logit_scale", 1)
        return [v / scale if self.arch.startswith("granite") else v * scale for v in out]


def main(path):
    forward = Forward(Model(path))
    rows = [forward.logits(position, token) for position, token in enumerate(TOKENS)]
    base = path.removesuffix(".gguf")
    with open(base + ".logits.bin", "wb") as file:
        for row in rows:
            file.write(struct.pack(f"<{len(row)}f", *row))
    nll = sum(math.log(sum(math.exp(v) for v in row)) - row[token]
              for row, token in zip(rows, TOKENS[1:])) / (len(TOKENS) - 1)
    with open(base + ".json", "w", encoding="utf-8") as file:
        json.dump({"prompt_tokens": TOKENS, "greedy_tokens": [], "greedy_margins": [],
                   "n_vocab": len(rows[0]), "nll_tokens": TOKENS, "nll_mean": nll,
                   "tensor_types": {"F32": len(rows)},
                   "logits_rows": f"positions 0..{len(rows) - 1}",
                   "logits_file": base.rsplit("/", 1)[-1] + ".logits.bin"}, file)


if __name__ == "__main__":
    main(sys.argv[1])
