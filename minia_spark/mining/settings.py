"""Settings of Sampled Min-Hashing; where the reference program has the same, its names."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from minia_spark.base.settings import OF_THE_CALL, StageSettings

__all__ = ["MiningSettings"]

_MAX_PERMUTATIONS = 1 << 24  # of both engines


class MiningSettings(StageSettings):
    """How structures are mined (Sampled Min-Hashing)."""

    engine: Literal["auto", "native", "datasketch"] = Field(
        "auto",
        description="Who computes; the result is the same. auto: native when its binary is found.",
        json_schema_extra=OF_THE_CALL,
    )
    binary: str | None = Field(
        None,
        description="Path of the smh binary; null searches the usual places.",
        json_schema_extra=OF_THE_CALL,
    )
    link: Literal["consensus", "single"] = Field(
        "consensus",
        description="How sets become structures. consensus: words that meet in tables are linked "
        "when they share more images than chance explains; single: sets that overlap are "
        "chained, as in the reference program.",
    )
    chance: Literal["auto", "totals", "background"] = Field(
        "auto",
        description="Consensus: what explains that words are together. totals: how frequent words "
        "are and how many an image holds; hash tables propose what is looked at. background: also "
        "in what broad ways images differ, such as size and brightness; all pairs of up to 4,096 "
        "words are counted. auto: a background where totals are not enough or images hold many "
        "words, unless tuple_size or tables are set.",
    )
    tuple_size: int | None = Field(
        None,
        ge=1,
        le=64,
        description="MinHashes in a tuple, r; null: chosen from what chance does in the images.",
    )
    tables: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Number of tuples (tables), l; null: chosen, like tuple_size.",
    )
    min_set_size: int = Field(3, ge=1, description="Fewest words of a co-occurring set.")
    partners_by_chance: float | None = Field(
        None,
        gt=0,
        description="Consensus: links that a word may have by chance, on average; fewer are surer. "
        "null: 0.1 with hash tables, 1 against a background.",
    )
    pairs_by_chance: float = Field(
        1.0,
        gt=0,
        description="Consensus: links by chance in all, among those where a structure may start.",
    )
    min_lift: float = Field(
        2.0,
        ge=1,
        description="Consensus: linked words share this many times the images that totals explain; "
        "not against a background, whose own spread tells what counts.",
    )
    density: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Consensus: a word joins when it is linked to this share of the structure. "
        "null: 0.5 with hash tables, 0.7 against a background.",
    )
    cluster_tuple_size: int = Field(
        3, ge=1, le=64, description="Single: MinHashes in a cluster tuple."
    )
    cluster_tables: int = Field(
        255, ge=1, le=1_000_000, description="Single: number of cluster tables."
    )
    overlap: float = Field(
        0.7,
        ge=0,
        lt=1,
        description="Single: sets join when their overlap coefficient is above this.",
    )
    min_cluster_size: int = Field(
        3, ge=1, description="Single: fewest sets of a structure; equal sets count each time."
    )
    decoys: int = Field(
        10,
        ge=0,
        le=1000,
        description="Shuffled collections that are mined too: q-values come from them. 0: none.",
    )
    seeds: int = Field(
        3,
        ge=0,
        le=100,
        description="Other seeds that are mined too; against a background, how often a part of the "
        "images is left out: stability comes from them. 0: none.",
    )
    max_q: float = Field(
        0.05, ge=0, le=1, description="A structure is significant up to this q-value."
    )
    min_stability: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A structure is reproducible from this share of other seeds on.",
    )
    expand: bool = Field(
        False, description="A word of weight f counts f times (estimates multiset similarity)."
    )
    seed: int = Field(12345678, ge=0, le=2**32 - 1, description="Seed of the permutations.")

    @model_validator(mode="after")
    def _permutations_are_bounded(self) -> MiningSettings:
        for kind in ("", "cluster_"):
            tuple_size = getattr(self, f"{kind}tuple_size") or 1
            tables = getattr(self, f"{kind}tables") or 1
            if tuple_size * tables > _MAX_PERMUTATIONS:
                raise ValueError(
                    f"{kind}tuple_size x {kind}tables is {tuple_size * tables:,}, "
                    f"more than {_MAX_PERMUTATIONS:,} permutations"
                )
        return self
