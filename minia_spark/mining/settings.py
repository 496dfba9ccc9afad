"""Settings of Sampled Min-Hashing; names and defaults of the reference program."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from minia_spark.settings import StageSettings

__all__ = ["MiningSettings"]

_MAX_PERMUTATIONS = 1 << 24  # of both engines


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

    @model_validator(mode="after")
    def _permutations_are_bounded(self) -> MiningSettings:
        for kind in ("", "cluster_"):
            tuple_size = getattr(self, f"{kind}tuple_size")
            tables = getattr(self, f"{kind}tables")
            if tuple_size * tables > _MAX_PERMUTATIONS:
                raise ValueError(
                    f"{kind}tuple_size x {kind}tables is {tuple_size * tables:,}, "
                    f"more than {_MAX_PERMUTATIONS:,} permutations"
                )
        return self
