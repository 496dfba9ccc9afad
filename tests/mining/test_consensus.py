"""Structures by consensus over the tables."""

from itertools import combinations

import numpy as np
import pytest
from cases import set_list
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, poisson

from minia_spark.base.errors import SettingsError
from minia_spark.mining import consensus as module
from minia_spark.mining.chance import expected_sharing, fit_chance
from minia_spark.mining.consensus import (
    Consensus,
    LinkLevels,
    consensus_structures,
    grow,
    link_words,
    plausible_pairs,
)
from minia_spark.smh.arrays import MalformedError, WordLinks, empty_sets

from .test_pairs import word_pairs


def links(*rows):
    """Links of (first, second, strength, strong)."""
    first, second, strength, strong = np.array(sorted(rows), np.int64).reshape(-1, 4).T
    return WordLinks(
        first.astype(np.uint32), second.astype(np.uint32), strength, strong.astype(bool)
    )


def clique(words, strength=100):
    return [(a, b, strength, 1) for a, b in combinations(sorted(words), 2)]


def grown(*rows, **options):
    return [group.tolist() for group in grow(links(*rows), **options)]


def even_chance(words=100, images=1000, size=10):
    """Every word in 100 of 1,000 images of 10 words: two words share 9.09 of them by chance."""
    return fit_chance(
        np.arange(words, dtype=np.uint32),
        np.full(words, images * size // words),
        np.array([size]),
        np.array([images]),
    )


def levels(chance=None, **options):
    return LinkLevels(chance or even_chance(), Consensus(**options))


def structure_list(structures):
    return [
        (
            int(structures.sets[i]),
            list(
                zip(
                    structures.items[a:b].tolist(),
                    structures.frequencies[a:b].tolist(),
                    strict=True,
                )
            ),
        )
        for i, (a, b) in enumerate(
            zip(structures.offsets[:-1], structures.offsets[1:], strict=True)
        )
    ]


def test_a_word_may_be_in_two_groups():
    assert grown(*clique([1, 2, 3, 4], 200), *clique([4, 5, 6, 7])) == [[1, 2, 3, 4], [4, 5, 6, 7]]


def test_a_chain_is_no_group():
    """Single link would have one group of six."""
    assert grown(*((n, n + 1, 100, 1) for n in range(5))) == []


def test_a_single_bridge_joins_nothing():
    rows = [*clique([1, 2, 3]), *clique([4, 5, 6]), (3, 4, 1000, 1)]
    assert grown(*rows) == [[1, 2, 3], [4, 5, 6]]


def test_weak_links_extend_a_group_but_start_none():
    weak = [(a, b, 50, 0) for a, b, _, _ in clique([7, 8, 9])]
    rows = [(1, 2, 100, 1), (1, 3, 50, 0), (2, 3, 50, 0), *weak]
    assert grown(*rows) == [[1, 2, 3]]


def test_density_is_the_share_of_links():
    """Word 9 has links to two of four."""
    rows = [*clique([1, 2, 3, 4]), (1, 9, 10, 0), (2, 9, 10, 0)]
    assert grown(*rows) == [[1, 2, 3, 4, 9]]
    assert grown(*rows, density=0.6) == [[1, 2, 3, 4]]


def test_the_weaker_of_similar_groups_is_dropped():
    """Words 4 and 5 are not linked; both groups are {1, 2, 3} and one more of four: 3/5."""
    rows = [*clique([1, 2, 3, 4]), *clique([1, 2, 3, 5], 50)]
    groups = grown(*{row[:2]: row for row in rows[::-1]}.values(), density=1.0)
    assert groups == [[1, 2, 3, 4]]
    both = grown(*{row[:2]: row for row in rows[::-1]}.values(), density=1.0, max_similarity=0.7)
    assert both == [[1, 2, 3, 4], [1, 2, 3, 5]]


def test_small_groups_are_dropped():
    rows = [*clique([1, 2, 3]), *clique([5, 6, 7, 8])]
    assert grown(*rows, min_size=4) == [[5, 6, 7, 8]]
    assert grown() == []


@given(st.integers(0, 2**32 - 1), st.integers(2, 14), st.floats(0.1, 0.9))
def test_every_member_has_links_to_enough_of_its_group(seed, words, share):
    random = np.random.default_rng(seed)
    rows = [
        (a, b, int(random.integers(1, 5)), int(random.integers(2)))
        for a, b in combinations(range(words), 2)
        if random.random() < share
    ]
    linked = {row[:2] for row in rows}
    groups = grown(*rows)
    for group in groups:
        assert len(group) >= 3
        for word in group:
            own = sum((min(word, o), max(word, o)) in linked for o in group if o != word)
            assert own >= 0.5 * (len(group) - 1)
    for one, two in combinations(map(set, groups), 2):
        assert len(one & two) < 0.5 * len(one | two)


@given(st.integers(0, 2**32 - 1))
def test_what_is_found_elsewhere_changes_nothing(seed):
    """Groups of two unconnected halves are those of each half."""
    random = np.random.default_rng(seed)

    def half(base):
        return [
            (base + a, base + b, int(random.integers(1, 9)), 1)
            for a, b in combinations(range(9), 2)
            if random.random() < 0.5
        ]

    one, two = half(0), half(100)
    assert sorted(grown(*one, *two)) == sorted(grown(*one) + grown(*two))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]))
def test_groups_are_those_of_sets_and_loops(seed, density):
    """Word by word as the notes of `grow` say it."""
    random = np.random.default_rng(seed)
    share, most = random.uniform(0.1, 0.9), random.choice([2, 5, 2**20])
    rows = [
        (3 * a, 3 * b, int(random.integers(most)), int(random.integers(2)))
        for a, b in combinations(range(random.integers(2, 13)), 2)
        if random.random() < share
    ]
    strength = {frozenset(row[:2]): row[2] for row in rows}

    def rank(word, group):
        own = [strength[p] for other in group if (p := frozenset((word, other))) in strength]
        return len(own), sum(own), -word

    covered, groups = set(), []
    words = {word for pair in strength for word in pair}
    for first, second, _, strong in sorted(rows, key=lambda row: (-row[2], row[:2])):
        if not strong or (first, second) in covered:
            continue
        group = {first, second}
        while able := [
            w for w in words - group if rank(w, group)[0] >= max(2, density * len(group))
        ]:
            group.add(max(able, key=lambda w: rank(w, group)))
        while loose := [w for w in group if rank(w, group)[0] < density * (len(group) - 1)]:
            group.remove(min(loose, key=lambda w: rank(w, group)))
        covered |= {(a, b) for a, b, _, _ in rows if {a, b} <= group}
        alike = any(2 * len(group & one) >= len(group | one) for one in groups)
        if len(group) >= 3 and not alike:
            groups.append(group)
    told = []
    found = grow(links(*rows), density=density, progress=lambda *step: told.append(step))
    assert [set(group.tolist()) for group in found] == groups
    starts = sum(row[3] for row in rows)
    assert told == [(n, starts) for n in range(starts)]


@given(
    st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=2, max_size=12),
    st.floats(0.01, 9),
    st.floats(0.01, 9),
    st.floats(1, 4),
    st.sampled_from([0, 1 << 19]),
)
def test_levels_are_where_the_tail_of_the_distribution_is(images, weak, strong, lift, kinds):
    """Every pair with every number of meetings and of shared images, by scipy's distributions."""
    items = [item for image in images for item in image]
    words, totals = np.unique(items, return_counts=True)
    sizes, number = np.unique([len(image) for image in images], return_counts=True)
    chance = fit_chance(words.astype(np.uint32), totals, sizes, number)
    rows = list(combinations(words.tolist(), 2))
    if not rows:
        return
    limits = [min(0.5, weak / max(1, len(words) - 1))]
    limits.append(min(limits[0], strong / len(rows)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_KINDS", kinds)
        own = levels(chance, partners_by_chance=weak, pairs_by_chance=strong, min_lift=lift)
    pairs = word_pairs(*((a, b, 1) for a, b in rows))
    expected = expected_sharing(pairs.first, pairs.second, chance)
    left, right = (totals[np.searchsorted(words, side)] for side in (pairs.first, pairs.second))

    def enough(shared, limit):
        rare = poisson.logsf(shared - 1, expected) <= np.log(limit)
        return rare & (shared >= lift * expected)

    for count in range(len(images) + 1):
        shared = np.minimum(count, np.minimum(left, right))
        found = link_words(pairs, shared, own)
        wanted = enough(shared, limits[0])
        assert found.first.tolist() == pairs.first[wanted].tolist()
        assert found.second.tolist() == pairs.second[wanted].tolist()
        assert found.strong.tolist() == enough(shared, limits[1])[wanted].tolist()
        met = word_pairs(*((a, b, count + 1) for a, b in rows))
        most = chi2.ppf(0.999, 2 * (count + 2)) / 2
        jaccard = min(1.0, most / 20) ** (1 / 2)
        could = np.ceil(jaccard / (1 + jaccard) * (left + right))
        kept = plausible_pairs(met, own, tuple_size=2, tables=20)
        wanted = enough(np.minimum(could, np.minimum(left, right)).astype(int), limits[0])
        assert kept.second.tolist() == met.second[wanted].tolist()


@pytest.mark.parametrize(
    "options", [{"density": 1.1}, {"density": -0.1}, {"min_size": 2}, {"max_similarity": 0.0}]
)
def test_growth_out_of_range(options):
    with pytest.raises(SettingsError, match=r"within 0\.\.1, min_size at least 3"):
        grow(links(), **options)


def test_expected_sharing_of_alike_words():
    """1,000 images hold 10 of 100 words each: a pair is in 1000 * 0.1 * 0.1."""
    chance = even_chance()
    expected = expected_sharing(np.array([0, 5], np.uint32), np.array([1, 99], np.uint32), chance)
    assert expected == pytest.approx([10.0, 10.0])


def test_expected_sharing_is_the_sum_over_images():
    rows = [{0, 1, 2, 3}, {0, 1}, {0, 2, 3, 4}, {1, 4}, {0}, {2, 3}]
    counts = np.bincount([item for row in rows for item in row])
    sizes, number = np.unique([len(row) for row in rows], return_counts=True)
    chance = fit_chance(np.arange(5, dtype=np.uint32), counts, sizes, number)
    first, second = np.array(list(combinations(range(5), 2)), dtype=np.uint32).T
    slow = [
        sum(
            n
            / (1 + np.exp(-(x + chance.word_logits[a])))
            / (1 + np.exp(-(x + chance.word_logits[b])))
            for x, n in zip(chance.image_logits, chance.image_counts, strict=True)
        )
        for a, b in zip(first, second, strict=True)
    ]
    assert expected_sharing(first, second, chance) == pytest.approx(slow)


def test_words_of_no_image_have_no_expectation():
    with pytest.raises(MalformedError, match="occurs in no image"):
        expected_sharing(np.array([1], np.uint32), np.array([100], np.uint32), even_chance())


def test_links_are_beyond_chance_at_two_levels():
    """10 expected; 4,950 pairs: 1 / 4950 asks for 24 documents, 0.1 / 99 for 22."""
    pairs = word_pairs(*((0, n, 1) for n in range(1, 7)))
    shared = np.array([10, 20, 21, 22, 23, 100])
    found = link_words(pairs, shared, levels())
    limits = [0.1 / 99, 1 / 4950]
    expected = [shared[poisson.sf(shared - 1, 10) <= limit] for limit in limits]
    assert shared[np.isin(pairs.second, found.second)].tolist() == expected[0].tolist()
    assert (
        shared[np.isin(pairs.second, found.second[found.strong])].tolist() == expected[1].tolist()
    )
    assert 0 < found.strong.sum() < len(found)
    assert found.strength[-1] == 2**20  # the same 100 images


def test_links_need_lift():
    pairs = word_pairs((0, 1, 1))
    shared = np.array([35])
    assert len(link_words(pairs, shared, levels(min_lift=3.4))) == 1
    assert len(link_words(pairs, shared, levels(min_lift=3.6))) == 0


def test_plausible_pairs_are_those_that_could_be_linked():
    """22 of 100 images each make a link, a similarity of 22 / 178: 61 of 4,000 tables of 2.

    Forty meetings are not too few for that, and by chance it is 11.
    """
    pairs = word_pairs((0, 1, 1), (0, 2, 11), (0, 3, 40), (0, 4, 3000))
    kept = plausible_pairs(pairs, levels(), tuple_size=2, tables=4000)
    assert kept.second.tolist() == [3, 4]


@given(st.integers(0, 100), st.integers(0, 1000))
def test_no_pair_that_meets_as_often_as_it_should_is_given_up(shared, surplus):
    """Pairs that will be linked, meeting as expected or more often."""
    own = levels()
    jaccard = shared / (200 - shared)
    meetings = max(1, round(1000 * jaccard**2) + surplus)
    pairs = word_pairs((0, 1, min(1000, meetings)))
    linked = len(link_words(pairs, np.array([shared]), own))
    assert len(plausible_pairs(pairs, own, tuple_size=2, tables=1000)) >= linked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partners_by_chance": 0.0}, "partners_by_chance must be above 0, got 0"),
        ({"pairs_by_chance": 0.0}, "pairs_by_chance must be above 0, got 0"),
    ],
)
def test_levels_out_of_range(options, message):
    with pytest.raises(SettingsError, match=message):
        Consensus(**options)


def test_counts_must_fit_pairs():
    with pytest.raises(MalformedError, match="2 numbers of shared documents for 1 pairs"):
        link_words(word_pairs((0, 1, 1)), np.array([5, 6]), levels())


def test_frequencies_count_the_sets_in_which_words_of_a_structure_meet():
    sets = set_list([((1, 2, 3, 9), 4), ((1, 2), 10), ((2, 3), 1), ((3, 9), 100)])
    groups = [np.array([1, 2, 3], np.uint32), np.array([5, 6, 7], np.uint32)]
    assert structure_list(consensus_structures(sets, groups)) == [
        (15, [(2, 15), (1, 14), (3, 5)]),
        (0, [(5, 1), (6, 1), (7, 1)]),
    ]


def test_no_groups_no_structures():
    assert len(consensus_structures(empty_sets(), [])) == 0
    assert len(consensus_structures(set_list([((1, 2), 1)]), [])) == 0


@given(
    st.dictionaries(st.frozensets(st.integers(0, 8), min_size=1), st.integers(1, 4), max_size=30),
    st.lists(st.frozensets(st.integers(0, 8), min_size=3), max_size=4, unique=True),
    st.sampled_from([1, 5, 1 << 22]),
)
def test_structures_are_those_of_a_loop_over_sets(found, groups, entries):
    ordered = sorted(found.items(), key=lambda row: (-len(row[0]), sorted(row[0])))
    sets = set_list([(tuple(sorted(items)), times) for items, times in ordered])
    expected = []
    for group in groups:
        own = [(items, times) for items, times in found.items() if len(items & group) >= 2]
        counts = {w: max(1, sum(t for items, t in own if w in items)) for w in group}
        rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
        expected.append((sum(times for _, times in own), rows))
    expected.sort(key=lambda s: (-s[0], -len(s[1]), [word for word, _ in s[1]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minia_spark.mining.consensus._ENTRIES", entries)
        structures = consensus_structures(
            sets, [np.array(sorted(group), np.uint32) for group in groups]
        )
    assert structure_list(structures) == expected


def test_shared_documents_decide_whatever_the_meetings():
    """The same pairs found more often: the same links."""
    own = levels()
    shared = np.array([50, 60])
    few = link_words(word_pairs((0, 1, 2), (0, 2, 2)), shared, own)
    many = link_words(word_pairs((0, 1, 90), (0, 2, 70)), shared, own)
    assert few.strength.tolist() == many.strength.tolist()
