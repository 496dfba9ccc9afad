// SMHW and SMHG streams: what goes into grow() and what comes out.
#include <string>

#include "stream.hpp"

namespace smh {

WordLinks read_word_links(Source& source, const std::string& name) {
    Stream stream(source, name);
    stream.header("SMHW");
    WordLinks links;
    while (!stream.at_end()) {
        const std::uint64_t at = stream.offset();
        const auto first = stream.number<std::uint32_t>("a link");
        const auto second = stream.number<std::uint32_t>("a link");
        const auto strength = stream.number<std::uint32_t>("a link");
        const auto strong = stream.number<std::uint32_t>("a link");
        const auto fail = [&](const std::string& what) {
            stream.fail_at(at, "link " + std::to_string(first) + " " + std::to_string(second) +
                                   " " + what);
        };
        if (first >= second) fail("does not ascend");
        if (links.size() > 0) {
            const std::uint32_t before = links.first.back();
            if (first < before || (first == before && second <= links.second.back()))
                fail("does not come after the one before it");
        }
        if (strength > max_strength)
            fail("has strength " + std::to_string(strength) + "; the limit is " +
                 std::to_string(max_strength));
        if (strong > 1) fail("is strong " + std::to_string(strong) + ", neither 0 nor 1");
        links.first.push_back(first);
        links.second.push_back(second);
        links.strength.push_back(strength);
        links.strong.push_back(static_cast<std::uint8_t>(strong));
    }
    return links;
}

void write_word_links(Sink& sink, const WordLinks& links) {
    Output output(sink);
    put_header(output, "SMHW");
    for (std::size_t link = 0; link < links.size(); ++link) {
        output.put_number(links.first[link]);
        output.put_number(links.second[link]);
        output.put_number(links.strength[link]);
        output.put_number(std::uint32_t{links.strong[link]});
    }
    output.finish();
}

WordGroups read_word_groups(Source& source, const std::string& name) {
    Stream stream(source, name);
    stream.header("SMHG");
    WordGroups groups;
    while (!stream.at_end()) {
        const std::uint64_t at = stream.offset();
        const auto size = stream.number<std::uint32_t>("a group's size");
        stream.numbers(groups.words, size, "a group's words");
        const std::uint32_t* words = groups.words.data() + groups.offsets.back();
        for (std::uint32_t i = 1; i < size; ++i)
            if (words[i] <= words[i - 1])
                stream.fail_at(at, "group " + std::to_string(groups.size()) +
                                       " has words that do not ascend");
        groups.offsets.push_back(groups.words.size());
    }
    return groups;
}

void write_word_groups(Sink& sink, const WordGroups& groups) {
    Output output(sink);
    put_header(output, "SMHG");
    for (std::size_t group = 0; group < groups.size(); ++group) {
        const std::uint64_t size = groups.offsets[group + 1] - groups.offsets[group];
        output.put_number(static_cast<std::uint32_t>(size));
        output.put(groups.words.data() + groups.offsets[group], size * 4);
    }
    output.finish();
}

}  // namespace smh
