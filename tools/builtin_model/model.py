"""The model: llama's shape (RMSNorm, rotary pairs, grouped-query attention, SwiGLU), tied embeddings.

Rotary pairs are the neighbours (2i, 2i+1), the order in which GGUF files of the llama architecture
store the rows of Q and K, so nothing is permuted at export.

On a CPU the matrices are multiplied in bf16 with f32 sums where that is faster (`compute`); the
weights, the residual stream, the norms and the softmax stay f32.
"""
import dataclasses
import math

import torch
from torch.nn import functional


@dataclasses.dataclass(frozen=True)
class Config:
    vocab_size: int = 4096
    hidden_size: int = 256
    num_layers: int = 8
    num_heads: int = 8
    num_kv_heads: int = 4
    head_dim: int = 32
    ffn_size: int = 1024
    context: int = 1024
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5


class CastLinear(torch.autograd.Function):
    """x [n, in] times w [out, in], both cast to `compute`; gradients of w come back in f32."""

    @staticmethod
    def forward(ctx, x, w, compute):
        low_x, low_w = x.to(compute), w.to(compute)
        ctx.save_for_backward(low_x, low_w)
        ctx.input_dtype = x.dtype
        return functional.linear(low_x, low_w)

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        grad = grad.to(x.dtype)
        return (grad @ w).to(ctx.input_dtype), (grad.t() @ x).float(), None


class RmsNorm(torch.autograd.Function):
    """x / rms(x) * gain over the last dimension, in f32; the result in `compute`."""

    @staticmethod
    def forward(ctx, x, gain, eps, compute):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, gain, scale)
        return (x * scale * gain).to(compute)

    @staticmethod
    def backward(ctx, grad):
        x, gain, scale = ctx.saved_tensors
        grad = grad.float()
        normed = x * scale
        by_gain = grad * gain
        inner = (by_gain * normed).mean(-1, keepdim=True)
        return scale * (by_gain - normed * inner), (grad * normed).flatten(0, -2).sum(0), None, None


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up over the two halves of x; saves only its input."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        gate, up = x.chunk(2, -1)
        return functional.silu(gate) * up

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        gate, up = x.chunk(2, -1)
        sigmoid = torch.sigmoid(gate)
        silu = gate * sigmoid
        return torch.cat([grad * up * (sigmoid + silu * (1 - sigmoid)), grad * silu], -1)


def rotary_tables(config: Config):
    """cos and sin, each [context, head_dim / 2]."""
    power = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    angles = torch.outer(torch.arange(config.context, dtype=torch.float64),
                         config.rope_theta ** -power)
    return angles.cos().float(), angles.sin().float()


def rotate(x, cos, sin):
    """Turns neighbouring pairs of x [b, t, heads, head_dim] by their position's angles."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).to(x.dtype)


class Layer(torch.nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        hidden, kv_size = config.hidden_size, config.num_kv_heads * config.head_dim
        self.q_size, self.kv_size = config.num_heads * config.head_dim, kv_size
        self.attention_norm = torch.nn.Parameter(torch.ones(hidden))
        self.ffn_norm = torch.nn.Parameter(torch.ones(hidden))
        self.qkv = torch.nn.Parameter(torch.randn(self.q_size + 2 * kv_size, hidden) * 0.04)
        out_std = 0.04 / math.sqrt(2 * config.num_layers)
        self.out = torch.nn.Parameter(torch.randn(hidden, self.q_size) * out_std)
        self.gate_up = torch.nn.Parameter(torch.randn(2 * config.ffn_size, hidden) * 0.04)
        self.down = torch.nn.Parameter(torch.randn(hidden, config.ffn_size) * out_std)

    def attention(self, x, batch, length, cos, sin, mask, compute):
        """x [batch * length, hidden] in `compute` -> the same shape."""
        config = self.config
        qkv = CastLinear.apply(x, self.qkv, compute).view(batch, length, -1)
        qk, v = qkv.split([self.q_size + self.kv_size, self.kv_size], -1)
        qk = rotate(qk.unflatten(-1, (-1, config.head_dim)), cos, sin)
        q, k = qk.split([config.num_heads, config.num_kv_heads], 2)
        v = v.unflatten(-1, (config.num_kv_heads, -1))
        # The query heads of one KV head are folded into its rows: one product per KV head.
        group = config.num_heads // config.num_kv_heads
        q = q.unflatten(2, (config.num_kv_heads, group)).permute(0, 2, 3, 1, 4)
        q = q.reshape(batch * config.num_kv_heads, group * length, -1)
        k = k.permute(0, 2, 1, 3).reshape(batch * config.num_kv_heads, length, -1)
        v = v.permute(0, 2, 1, 3).reshape(batch * config.num_kv_heads, length, -1)
        scores = torch.bmm(q, k.transpose(1, 2)).view(-1, group, length, length)
        scores = scores.float().mul_(config.head_dim ** -0.5).add_(mask)
        weights = torch.softmax(scores, -1).to(compute).view(-1, group * length, length)
        mixed = torch.bmm(weights, v).view(batch, config.num_kv_heads, group, length, -1)
        mixed = mixed.permute(0, 3, 1, 2, 4).reshape(batch * length, -1)
        return CastLinear.apply(mixed, self.out, compute)

    def forward(self, x, batch, length, cos, sin, mask, compute):
        eps = self.config.rms_norm_eps
        normed = RmsNorm.apply(x, self.attention_norm, eps, compute)
        x = x + self.attention(normed, batch, length, cos, sin, mask, compute).float()
        normed = RmsNorm.apply(x, self.ffn_norm, eps, compute)
        hidden = SwiGlu.apply(CastLinear.apply(normed, self.gate_up, compute))
        return x + CastLinear.apply(hidden, self.down, compute).float()


class Model(torch.nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        # Tokens enter the residual stream at about the size of what layers add to it, so that they are
        # not drowned. The last gain makes up for it, as the same matrix computes the logits: small
        # enough that a token does not at first predict itself.
        std = 0.5
        rows = torch.randn(config.vocab_size, config.hidden_size)
        self.embedding = torch.nn.Parameter(rows * std)
        self.layers = torch.nn.ModuleList([Layer(config) for _ in range(config.num_layers)])
        gain = 0.25 / (std * math.sqrt(config.hidden_size))  # logits of about 1/4
        self.final_norm = torch.nn.Parameter(torch.full([config.hidden_size], gain))
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden(self, tokens, compute):
        """tokens [b, t] -> normed hidden states [b * t, hidden] in `compute`."""
        batch, length = tokens.shape
        x = functional.embedding(tokens.flatten(), self.embedding)
        mask = torch.full((length, length), float("-inf"), device=tokens.device).triu_(1)
        cos, sin = self.cos[:length], self.sin[:length]
        for layer in self.layers:
            x = layer(x, batch, length, cos, sin, mask, compute)
        return RmsNorm.apply(x, self.final_norm, self.config.rms_norm_eps, compute)

    def logits(self, tokens, compute=torch.float32):
        """tokens [b, t] -> logits [b, t, vocab] f32."""
        logits = CastLinear.apply(self.hidden(tokens, compute), self.embedding, compute)
        return logits.float().view(*tokens.shape, -1)

    def loss(self, tokens, targets, weights, compute):
        """Sum of weights * -log p(target), and no normalisation; positions of weight 0 are skipped.

        tokens, targets [b, t] int64, weights [b, t] f32.
        """
        weights = weights.flatten()
        chosen = weights.nonzero().flatten()
        hidden = self.hidden(tokens, compute)[chosen]
        logits = CastLinear.apply(hidden, self.embedding, compute).float()
        each = functional.cross_entropy(logits, targets.flatten()[chosen], reduction="none")
        return (each * weights[chosen]).sum()
