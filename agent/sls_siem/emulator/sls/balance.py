"""Which consumer a shard should belong to: pure, so that its rules can be tested for every input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice


def balance(shards: Sequence[int], consumers: Sequence[str], holders: Mapping[int, str]) -> dict[int, str]:
    """Share the shards out evenly, moving as few as possible.

    Args:
        shards: what is to be shared out.
        consumers: who is alive.
        holders: who works on which shard now.

    Returns:
        A consumer for every shard; empty without consumers. With fewer shards than consumers some get none.
    """
    if not consumers:
        return {}
    held = {name: sorted(shard for shard in shards if holders.get(shard) == name) for name in consumers}
    # Whoever has most keeps the odd ones: that moves least.
    ranked = sorted(consumers, key=lambda name: (-len(held[name]), name))
    share, odd = divmod(len(shards), len(ranked))
    quota = {name: share + (place < odd) for place, name in enumerate(ranked)}
    target = {shard: name for name in ranked for shard in held[name][: quota[name]]}
    free = iter(sorted(set(shards) - set(target)))
    for name in ranked:
        missing = quota[name] - min(quota[name], len(held[name]))
        target.update(dict.fromkeys(islice(free, missing), name))
    return target
