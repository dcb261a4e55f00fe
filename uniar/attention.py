"""The one attention door: every attention of the model goes through `attend`.

PyTorch's scaled-dot-product attention picks the kernel (flash, memory-efficient or plain); nothing else in the
package knows backends.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Softmax attention with grouped key/value heads.

    Args:
        q: (B, heads, Tq, d).
        k: (B, kv_heads, Tk, d); `heads` is a multiple of `kv_heads`.
        v: (B, kv_heads, Tk, d).
        mask: bool (B, 1, Tq, Tk), True where a query may look; every row needs at least one True. Or what is added to the scores.
        causal: query i sees keys up to i; only without `mask` and with Tq == Tk.

    Returns:
        (B, Tq, heads * d).
    """
    groups = q.shape[1] // k.shape[1]
    if groups > 1 and q.shape[2] == 1 and q.is_cuda:
        return one_query(q, k, v, mask)
    if groups > 1:
        k = k.repeat_interleave(groups, dim=1)
        v = v.repeat_interleave(groups, dim=1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return out.transpose(1, 2).flatten(2)


def one_query(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """`attend` for Tq = 1 without a copy of the keys for each head: the heads of a group are that many queries of one head.

    On a GPU such a step is bound by what it reads. (On the CPU it would change the last digits of results that are on record.)
    """
    b, heads, _, d = q.shape
    folded = q.reshape(b, k.shape[1], heads // k.shape[1], d)
    return F.scaled_dot_product_attention(folded, k, v, attn_mask=mask).reshape(b, 1, heads * d)


def causal_mask(attention_mask: Tensor | None, *, queries: int, keys: int, device: torch.device) -> Tensor | None:
    """The bool mask of a causal step, or None when no mask is needed beyond `causal=(queries == keys)`.

    Args:
        attention_mask: (B, keys) with 0 at padding, or None.
        queries: number of the last positions that ask.
        keys: number of all positions so far.
        device: where the mask lives.

    Returns:
        bool (B or 1, 1, queries, keys), or None. A padding query sees itself, so that its softmax is defined.
    """
    padded = attention_mask is not None and not bool(attention_mask.all())
    if not padded and queries in (1, keys):
        return None
    position = torch.arange(keys, device=device)
    asking = position[keys - queries :, None]
    allowed = (position[None, :] <= asking)[None, None]
    if padded:
        own = (position[None, :] == asking)[None, None]
        allowed = (allowed & attention_mask.bool()[:, None, None, :]) | own
    return allowed


def packed_mask(segments: Tensor) -> Tensor:
    """Causal mask inside each segment of a packed row.

    Args:
        segments: int (B, T), a number per packed sequence; padding has a number of its own.

    Returns:
        bool (B, 1, T, T).
    """
    same = segments[:, None, :, None] == segments[:, None, None, :]
    t = segments.shape[1]
    return same & torch.ones(t, t, dtype=torch.bool, device=segments.device).tril()
