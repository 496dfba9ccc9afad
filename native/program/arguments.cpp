#include "arguments.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <system_error>

namespace {

const Option help_option{'h', "help", "", "Print this."};

// The options of a command, with --help.
std::vector<Option> all_options(const Command& command) {
    std::vector<Option> options = command.options;
    options.push_back(help_option);
    return options;
}

std::string with_hyphens(std::string name) {
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
}

template <class Number>
bool parse(const std::string& text, Number& number) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    return !text.empty() && stop == end && error == std::errc();
}

std::string shown(double number) {
    std::ostringstream text;
    text << number;
    return text.str();
}

}  // namespace

Arguments::Arguments(const Command& command, const std::vector<std::string>& words) {
    const auto options = all_options(command);
    const auto give = [&](const Option& option, const std::string& value) {
        if (!given_.emplace(option.name, value).second)
            throw UsageError("--" + option.name + " is given twice");
    };
    const auto find = [&](const std::string& shown_as, auto&& matches) -> const Option& {
        const auto option = std::find_if(options.begin(), options.end(), matches);
        if (option == options.end()) throw UsageError("there is no option " + shown_as);
        return *option;
    };
    bool only_operands = false;
    for (std::size_t at = 0; at < words.size(); ++at) {
        const std::string& word = words[at];
        const auto value_after = [&](const Option& option) {
            if (at + 1 == words.size()) throw UsageError("--" + option.name + " needs a value");
            return words[++at];
        };
        if (only_operands || word.size() < 2 || word[0] != '-') {
            operands_.push_back(word);
        } else if (word == "--") {
            only_operands = true;
        } else if (word[1] == '-') {
            const std::size_t equals = word.find('=');
            const std::string name = with_hyphens(word.substr(2, equals - 2));
            const Option& option =
                find("--" + name, [&](const Option& known) { return known.name == name; });
            if (option.value.empty() && equals != std::string::npos)
                throw UsageError("--" + option.name + " takes no value");
            if (option.value.empty())
                give(option, "");
            else
                give(option,
                     equals == std::string::npos ? value_after(option) : word.substr(equals + 1));
        } else {
            for (std::size_t i = 1; i < word.size(); ++i) {
                const Option& option = find(std::string("-") + word[i], [&](const Option& known) {
                    return known.letter == word[i];
                });
                if (option.value.empty()) {
                    give(option, "");
                    continue;
                }
                give(option, i + 1 < word.size() ? word.substr(i + 1) : value_after(option));
                break;
            }
        }
    }
    if (wants_help()) return;
    if (operands_.size() < command.least || operands_.size() > command.most)
        throw UsageError("expected " + (command.operands.empty() ? "no operands" : command.operands) +
                         ", got " + std::to_string(operands_.size()) + " operands");
}

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
    const auto found = given_.find(name);
    return found == given_.end() ? otherwise : found->second;
}

std::uint32_t Arguments::number(const std::string& name, std::uint32_t otherwise,
                                std::uint32_t least, std::uint32_t most) const {
    if (!has(name)) return otherwise;
    std::uint32_t value = 0;
    if (!parse(text(name), value) || value < least || value > most)
        throw UsageError("--" + name + " must be a whole number within " + std::to_string(least) +
                         ".." + std::to_string(most) + ", got '" + text(name) + "'");
    return value;
}

std::uint32_t Arguments::required(const std::string& name, std::uint32_t least,
                                  std::uint32_t most) const {
    if (!has(name)) throw UsageError("--" + name + " must be given");
    return number(name, 0, least, most);
}

double Arguments::real(const std::string& name, double otherwise, double least,
                       double most) const {
    if (!has(name)) return otherwise;
    double value = 0;
    if (!parse(text(name), value) || !(value >= least && value <= most))
        throw UsageError("--" + name + " must be a number within " + shown(least) + ".." +
                         shown(most) + ", got '" + text(name) + "'");
    return value;
}

std::string help_of(const Command& command) {
    std::ostringstream text;
    text << "usage: smh " << command.name << " [OPTIONS] " << command.operands << "\n\n"
         << command.summary << "\n";
    if (!command.details.empty()) text << "\n" << command.details << "\n";
    text << "\nOptions:\n";
    constexpr std::size_t column = 40;
    for (const Option& option : all_options(command)) {
        std::string left = option.letter != 0 ? std::string("  -") + option.letter + ", " : "      ";
        left += "--" + option.name;
        if (!option.value.empty()) left += " " + option.value;
        left.resize(std::max(left.size() + 1, column), ' ');
        // further lines of a help text start under its first
        for (const char byte : option.help) {
            left.push_back(byte);
            if (byte == '\n') left.append(column, ' ');
        }
        text << left << "\n";
    }
    return text.str();
}
