"""Settings of Sampled Min-Hashing; names and defaults of the reference program."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from minia_spark.settings import StageSettings

__all__ = ["MiningSettings"]


class MiningSettings(StageSettings):
    """How structures are mined (Sampled Min-Hashing)."""

    engine: Literal["auto", "native", "datasketch"] = Field(
        "auto",
        description="Who computes; the result is the same. auto: native when its binary is found.",
    )
    binary: str | None = Field(
        None, description="Path of the smh binary; null searches the usual places."
    )
    tuple_size: int = Field(2, ge=1, le=64, description="MinHashes in a tuple, r.")
    tables: int = Field(750, ge=1, le=1_000_000, description="Number of tuples (tables), l.")
    min_set_size: int = Field(3, ge=1, description="Fewest words of a co-occurring set.")
    cluster_tuple_size: int = Field(3, ge=1, le=64, description="MinHashes in a cluster tuple.")
    cluster_tables: int = Field(255, ge=1, le=1_000_000, description="Number of cluster tables.")
    overlap: float = Field(
        0.7, ge=0, lt=1, description="Sets join when their overlap coefficient is above this."
    )
    min_cluster_size: int = Field(
        3, ge=1, description="Fewest sets of a structure; equal sets count each time."
    )
    expand: bool = Field(
        False, description="A word of weight f counts f times (estimates multiset similarity)."
    )
    seed: int = Field(12345678, ge=0, le=2**32 - 1, description="Seed of the permutations.")
