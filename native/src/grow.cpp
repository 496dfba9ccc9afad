// Links between words -> groups of words, by average link from strong links.
//
// A start is a strong link that lies within no group yet. Its group depends on the graph only, so
// threads grow the next starts ahead, each from what is covered so far, and the results are looked
// at in the order of starts: one whose start has been covered meanwhile is thrown away.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <string>

#include "hash.hpp"
#include "options.hpp"
#include "parallel.hpp"
#include "ranks.hpp"

namespace smh {
namespace {

// A word's links into a group are one integer: their number above, the sum of their strengths
// below, so that the larger comes first. Members are far below all others.
constexpr unsigned count_shift = 41;
constexpr std::int64_t one_link = std::int64_t{1} << count_shift;
constexpr std::int64_t member = std::int64_t{1} << 62U;

constexpr std::size_t ahead = 64;                          // groups a thread may be ahead
constexpr std::size_t pending_entries = std::size_t{1} << 22U;  // held by groups not yet looked at

void check(const WordLinks& links, const GrowOptions& options) {
    check_threads(options.threads);
    if (!(options.density >= 0 && options.density <= 1))
        throw Error("grow: the density must be within 0..1");
    if (options.min_size < 3) throw Error("grow: the minimum size must be at least 3");
    if (!(options.max_similarity > 0 && options.max_similarity <= 1))
        throw Error("grow: the maximum similarity must be above 0 and at most 1");
    if (links.size() > UINT32_MAX) throw Error("grow: more than 2^32 - 1 links");
}

// The links, words numbered in ascending order.
class Graph {
  public:
    struct Neighbour {
        std::uint32_t word;
        std::uint32_t strength;
    };
    struct Start {
        std::uint32_t first;
        std::uint32_t second;
    };
    // A strong link from the smaller of its words: the other one, and the start that it is.
    struct Strong {
        std::uint32_t word;
        std::uint32_t start;
    };

    explicit Graph(const WordLinks& links) {
        std::vector<std::uint32_t> ends(links.first);
        ends.insert(ends.end(), links.second.begin(), links.second.end());
        const Ranks ranks(ends);
        words_ = ranks.ids();
        if (words_.size() > max_linked_words)
            throw Error("grow: " + std::to_string(words_.size()) +
                        " words are linked; the limit is " + std::to_string(max_linked_words));
        std::transform(ends.begin(), ends.end(), ends.begin(),
                       [&](std::uint32_t word) { return ranks[word]; });
        const std::uint32_t* first = ends.data();
        const std::uint32_t* second = first + links.size();
        connect(links, first, second);
        order_starts(links, first, second);
    }

    std::size_t size() const noexcept { return words_.size(); }
    std::uint32_t word(std::uint32_t number) const noexcept { return words_[number]; }
    const std::vector<Start>& starts() const noexcept { return starts_; }
    std::size_t degree(std::uint32_t word) const noexcept {
        return offsets_[word + 1] - offsets_[word];
    }
    template <class Visit>
    void neighbours(std::uint32_t word, Visit&& visit) const {
        const Neighbour* end = neighbours_.data() + offsets_[word + 1];
        for (const Neighbour* at = neighbours_.data() + offsets_[word]; at != end; ++at) visit(*at);
    }
    template <class Visit>
    void strong(std::uint32_t word, Visit&& visit) const {
        const Strong* end = strong_.data() + strong_offsets_[word + 1];
        for (const Strong* at = strong_.data() + strong_offsets_[word]; at != end; ++at) visit(*at);
    }

  private:
    void connect(const WordLinks& links, const std::uint32_t* first, const std::uint32_t* second) {
        offsets_.assign(size() + 1, 0);
        for (std::size_t link = 0; link < links.size(); ++link) {
            ++offsets_[first[link] + 1];
            ++offsets_[second[link] + 1];
        }
        std::partial_sum(offsets_.begin(), offsets_.end(), offsets_.begin());
        neighbours_.resize(2 * links.size());
        std::vector<std::uint64_t> next(offsets_.begin(), offsets_.end() - 1);
        for (std::size_t link = 0; link < links.size(); ++link) {
            neighbours_[next[first[link]]++] = {second[link], links.strength[link]};
            neighbours_[next[second[link]]++] = {first[link], links.strength[link]};
        }
    }

    void order_starts(const WordLinks& links, const std::uint32_t* first,
                      const std::uint32_t* second) {
        std::vector<std::uint32_t> order;
        for (std::size_t link = 0; link < links.size(); ++link)
            if (links.strong[link] != 0) order.push_back(static_cast<std::uint32_t>(link));
        std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
            return links.strength[a] > links.strength[b];
        });
        std::vector<std::uint32_t> start_of(links.size());
        for (const std::uint32_t link : order) {
            start_of[link] = static_cast<std::uint32_t>(starts_.size());
            starts_.push_back({first[link], second[link]});
        }
        strong_offsets_.assign(size() + 1, 0);
        for (std::size_t link = 0; link < links.size(); ++link) {
            if (links.strong[link] == 0) continue;
            ++strong_offsets_[first[link] + 1];
            strong_.push_back({second[link], start_of[link]});
        }
        std::partial_sum(strong_offsets_.begin(), strong_offsets_.end(), strong_offsets_.begin());
    }

    std::vector<std::uint32_t> words_;
    std::vector<std::uint64_t> offsets_;
    std::vector<Neighbour> neighbours_;
    std::vector<Start> starts_;
    std::vector<std::uint64_t> strong_offsets_;
    std::vector<Strong> strong_;
};

using Covered = std::vector<std::atomic<bool>>;  // one a start

// Grows one group after the other; a thread's own.
class Growth {
  public:
    Growth(const Graph& graph, double density)
        : graph_(graph), density_(density), inward_(graph.size(), 0), able_(graph.size() + 1),
          held_(graph.size(), 0) {}

    // The group's members, ascending.
    std::vector<std::uint32_t> members(const Graph::Start& start) {
        clear();
        members_.clear();
        able_count_ = 0;
        join(start.first, never);
        join(start.second, fewest(2));
        while (able_count_ > 0) join_best();
        std::vector<std::uint32_t> own = members_;
        std::sort(own.begin(), own.end());
        drop_loose(own);
        return own;
    }

    // The starts between members that are not covered yet.
    std::vector<std::uint32_t> starts(const std::vector<std::uint32_t>& own,
                                      const Covered& covered) {
        std::vector<std::uint32_t> found;
        for (const std::uint32_t word : own) held_[word] = 1;
        for (const std::uint32_t word : own)
            graph_.strong(word, [&](const Graph::Strong& link) {
                if (held_[link.word] != 0 && !covered[link.start].load(std::memory_order_relaxed))
                    found.push_back(link.start);
            });
        for (const std::uint32_t word : own) held_[word] = 0;
        return found;
    }

  private:
    static constexpr std::int64_t never = -1;

    // The fewest links with which a word joins a group of a size.
    std::int64_t fewest(std::size_t size) const {
        return static_cast<std::int64_t>(
            std::ceil(std::max(2.0, density_ * static_cast<double>(size))));
    }

    // Lets a word join. The able, all that have `enough` links, gain those that just reached it.
    void join(std::uint32_t word, std::int64_t enough) {
        members_.push_back(word);
        inward_[word] -= member;
        std::size_t count = able_count_;
        graph_.neighbours(word, [&](const Graph::Neighbour& link) {
            const std::int64_t now = inward_[link.word] += one_link + link.strength;
            able_[count] = link.word;  // stays only if counted
            count += (now >> count_shift) == enough ? 1 : 0;
        });
        able_count_ = count;
    }

    // Lets the best of the able join: most links, then the largest sum, then the smallest number.
    void join_best() {
        std::size_t best = 0;
        std::int64_t most = inward_[able_[0]];
        for (std::size_t i = 1; i < able_count_; ++i) {
            const std::int64_t links = inward_[able_[i]];
            if (links < most || (links == most && able_[i] > able_[best])) continue;
            best = i;
            most = links;
        }
        const std::uint32_t word = able_[best];
        able_[best] = able_[--able_count_];
        const std::int64_t enough = fewest(members_.size() + 1);
        if (enough > fewest(members_.size())) {
            std::size_t kept = 0;
            for (std::size_t i = 0; i < able_count_; ++i) {
                able_[kept] = able_[i];
                kept += (inward_[able_[i]] >> count_shift) >= enough ? 1 : 0;
            }
            able_count_ = kept;
        }
        join(word, enough);
    }

    // Lets members with too few links leave, least first; of equal ones the largest number.
    void drop_loose(std::vector<std::uint32_t>& own) {
        for (;;) {
            std::size_t worst = 0;
            for (std::size_t i = 1; i < own.size(); ++i)
                if (inward_[own[i]] <= inward_[own[worst]]) worst = i;
            const std::uint32_t word = own[worst];
            const std::int64_t count = (inward_[word] + member) >> count_shift;
            if (static_cast<double>(count) >= density_ * static_cast<double>(own.size() - 1))
                return;
            inward_[word] += member;
            graph_.neighbours(word, [&](const Graph::Neighbour& link) {
                inward_[link.word] -= one_link + link.strength;
            });
            own.erase(own.begin() + static_cast<std::ptrdiff_t>(worst));
        }
    }

    void clear() {
        std::size_t touched = 0;
        for (const std::uint32_t word : members_) touched += graph_.degree(word);
        if (touched > inward_.size() / 4) return std::fill(inward_.begin(), inward_.end(), 0);
        for (const std::uint32_t word : members_) {
            inward_[word] = 0;
            graph_.neighbours(word,
                              [&](const Graph::Neighbour& link) { inward_[link.word] = 0; });
        }
    }

    const Graph& graph_;
    const double density_;
    std::vector<std::int64_t> inward_;
    std::vector<std::uint32_t> members_;  // in the order in which they joined
    std::vector<std::uint32_t> able_;     // one longer than there are words: see join()
    std::size_t able_count_ = 0;
    std::vector<std::uint8_t> held_;
};

// Keeps groups that are not too similar to one that was kept before.
//
// Groups of Jaccard similarity t share at least the share t of each one's words, so that one of the
// first words of either, all but so many less one, is among the first words of both: only these are
// indexed and looked up. A signature of one bit a word refuses most of what is found there.
class Distinct {
  public:
    Distinct(std::size_t words, double max_similarity)
        : max_similarity_(max_similarity), index_(words), held_(words, 0) {}

    void add(const std::vector<std::uint32_t>& group) {
        const auto size = static_cast<std::uint32_t>(group.size());
        const double least = std::ceil(max_similarity_ * size - margin);
        const std::uint32_t first = size - static_cast<std::uint32_t>(std::max(1.0, least)) + 1;
        std::uint64_t signature = 0;
        for (const std::uint32_t word : group) signature |= bit_of(word);
        for (const std::uint32_t word : group) held_[word] = 1;
        ++turn_;
        const bool similar = std::any_of(
            group.begin(), group.begin() + first,
            [&](std::uint32_t word) { return found(index_[word], signature, size); });
        for (const std::uint32_t word : group) held_[word] = 0;
        if (similar) return;
        const auto number = static_cast<std::uint32_t>(kept_.size());
        for (std::uint32_t i = 0; i < first; ++i)
            index_[group[i]].push_back({signature, number, size});
        compared_.push_back(0);
        kept_.words.insert(kept_.words.end(), group.begin(), group.end());
        kept_.offsets.push_back(kept_.words.size());
    }

    WordGroups take(const Graph& graph) {
        for (std::uint32_t& word : kept_.words) word = graph.word(word);
        return std::move(kept_);
    }

  private:
    struct Entry {
        std::uint64_t signature;
        std::uint32_t group;
        std::uint32_t size;
    };
    static constexpr double margin = 1e-6;  // far above what rounding does to a share of words

    static std::uint64_t bit_of(std::uint32_t word) { return std::uint64_t{1} << (mix(word) >> 26U); }

    bool alike(std::uint32_t shared, std::uint32_t ours, std::uint32_t theirs) const {
        return static_cast<double>(shared) >=
               max_similarity_ * (static_cast<double>(ours) + theirs - shared);
    }

    // Whether one of the entries is similar to the group that is held.
    bool found(const std::vector<Entry>& entries, std::uint64_t signature, std::uint32_t size) {
        for (const Entry& entry : entries) {
            // each bit of ours that they lack is a word that they lack
            const auto missing = __builtin_popcountll(signature & ~entry.signature);
            if (!alike(size - static_cast<std::uint32_t>(missing), size, entry.size)) continue;
            if (compared_[entry.group] == turn_) continue;
            compared_[entry.group] = turn_;
            std::uint32_t shared = 0;
            for (auto at = kept_.offsets[entry.group]; at < kept_.offsets[entry.group + 1]; ++at)
                shared += held_[kept_.words[at]];
            if (alike(shared, size, entry.size)) return true;
        }
        return false;
    }

    const double max_similarity_;
    std::vector<std::vector<Entry>> index_;  // of each word, the groups that have it among their first
    std::vector<std::uint8_t> held_;         // whether the new group holds the word
    std::vector<std::uint32_t> compared_;    // the turn in which a kept group was compared last
    std::uint32_t turn_ = 0;
    WordGroups kept_;
};

// The groups that were accepted last. Most starts grow into a group that is known already, and
// then there is nothing left to do: compared whole, not only by their hashes.
class Recent {
  public:
    Recent() : slots_(slots), words_(room) {}

    bool holds(const std::vector<std::uint32_t>& group) const {
        const Slot& slot = slots_[slot_of(group)];
        if (slot.size != group.size() || slot.begin + room < written_) return false;
        for (std::size_t i = 0; i < group.size(); ++i)
            if (words_[(slot.begin + i) % room] != group[i]) return false;
        return true;
    }

    void add(const std::vector<std::uint32_t>& group) {
        if (group.size() > room) return;
        slots_[slot_of(group)] = {written_, group.size()};
        for (const std::uint32_t word : group) words_[written_++ % room] = word;
    }

  private:
    struct Slot {
        std::uint64_t begin = 0;
        std::size_t size = 0;  // 0 where there is none
    };
    static constexpr std::size_t slots = std::size_t{1} << 17U;
    static constexpr std::size_t room = std::size_t{1} << 22U;

    static std::size_t slot_of(const std::vector<std::uint32_t>& group) {
        std::uint32_t hash = 0;
        for (const std::uint32_t word : group) hash = mix(hash + word);
        return hash % slots;
    }

    std::vector<Slot> slots_;
    std::vector<std::uint32_t> words_;  // a ring
    std::uint64_t written_ = 0;
};

// The starts in their order: hands them out and takes their groups.
class Harvest {
  public:
    Harvest(const Graph& graph, const GrowOptions& options, std::size_t threads)
        : graph_(graph),
          options_(options),
          window_(threads == 1 ? 1 : threads * ahead),
          covered_(graph.starts().size()),
          distinct_(graph.size(), options.max_similarity) {}

    // A thread's work, until there is nothing left.
    void work() {
        try {
            Growth growth(graph_, options_.density);
            while (Pending* mine = claim()) {
                mine->members = growth.members(graph_.starts()[mine->start]);
                if (known(mine->members))
                    mine->members.clear();
                else
                    mine->starts = growth.starts(mine->members, covered_);
                deliver(*mine);
            }
        } catch (...) {
            const std::lock_guard<std::mutex> guard(lock_);
            next_ = covered_.size();
            room_.notify_all();
            throw;
        }
    }

    WordGroups take() { return distinct_.take(graph_); }

  private:
    struct Pending {
        std::size_t start;
        bool ready = false;
        std::vector<std::uint32_t> members;  // none where the group is known
        std::vector<std::uint32_t> starts;   // within it, not covered when it was grown
        std::size_t entries() const { return members.size() + starts.size(); }
    };

    // The next start that is not covered, or nothing.
    Pending* claim() {
        std::unique_lock<std::mutex> guard(lock_);
        room_.wait(guard, [&] {
            return pending_.empty() || next_ == covered_.size() ||
                   (pending_.size() < window_ && entries_ < pending_entries);
        });
        while (next_ < covered_.size() && covered_[next_].load(std::memory_order_relaxed)) ++next_;
        if (next_ == covered_.size()) return nullptr;
        pending_.emplace_back();
        pending_.back().start = next_++;
        return &pending_.back();  // a deque: it stays where it is
    }

    void deliver(Pending& mine) {
        const std::lock_guard<std::mutex> guard(lock_);
        mine.ready = true;
        entries_ += mine.entries();
        while (!pending_.empty() && pending_.front().ready) {
            const Pending& first = pending_.front();
            if (!covered_[first.start].load(std::memory_order_relaxed)) accept(first);
            if (options_.progress) options_.progress(first.start, covered_.size());
            entries_ -= first.entries();
            pending_.pop_front();
        }
        room_.notify_all();
    }

    // Whether a group was accepted before: then it covers nothing new, and is similar to itself.
    bool known(const std::vector<std::uint32_t>& members) {
        const std::lock_guard<std::mutex> guard(lock_);
        return recent_.holds(members);
    }

    void accept(const Pending& group) {
        for (const std::uint32_t start : group.starts)
            covered_[start].store(true, std::memory_order_relaxed);
        if (group.members.size() < options_.min_size) return;
        recent_.add(group.members);
        distinct_.add(group.members);
    }

    const Graph& graph_;
    const GrowOptions& options_;
    const std::size_t window_;
    std::mutex lock_;
    std::condition_variable room_;
    std::size_t next_ = 0;
    std::deque<Pending> pending_;
    std::size_t entries_ = 0;
    Covered covered_;
    Recent recent_;
    Distinct distinct_;
};

}  // namespace

WordGroups grow(const WordLinks& links, const GrowOptions& options) {
    check(links, options);
    const Graph graph(links);
    const std::size_t threads = useful_threads(options.threads, graph.starts().size());
    Harvest harvest(graph, options, threads);
    run_threads(threads, [&](std::size_t) { harvest.work(); });
    return harvest.take();
}

}  // namespace smh
