// smh: Sampled Min-Hashing on the command line. All the work is libsmh's.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include <fcntl.h>
#include <unistd.h>

#include "commands.hpp"
#include "smh.hpp"

namespace {

constexpr int ok = 0;
constexpr int failed = 1;
constexpr int misused = 2;

std::vector<Command> all_commands() {
    auto commands = text_commands();
    for (auto& command : stream_commands()) commands.push_back(std::move(command));
    return commands;
}

std::string overview(const std::vector<Command>& commands) {
    std::string text =
        "usage: smh COMMAND [OPTIONS] ...\n\n"
        "Sampled Min-Hashing: finds sets of items that occur in the same documents.\n\n"
        "Commands (smh COMMAND --help explains each):\n";
    for (const Command& command : commands) {
        std::string line = "  " + command.name;
        line.resize(14, ' ');
        text += line + command.summary + "\n";
    }
    return text +
           "\nText files go through ifindex and discover; sketch, merge, mine and cluster are the\n"
           "same work cut into pieces for many processes; grow makes groups of links between\n"
           "words. Data goes to standard output, everything else to standard error.\n"
           "Exit codes: 0 done, 2 wrong usage, 1 anything else.\n";
}

void print(const std::string& text) {
    const auto sink = smh::open_sink("-");
    sink->write(text.data(), text.size());
    sink->finish();
}

void run(const std::vector<Command>& commands, const std::vector<std::string>& words) {
    if (words.empty()) throw UsageError("a command is needed; smh --help lists them");
    if (words[0] == "--help" || words[0] == "-h" || words[0] == "help")
        return print(overview(commands));
    if (words[0] == "--version") return print(std::string("smh ") + smh::version + "\n");
    for (const Command& command : commands) {
        if (command.name != words[0]) continue;
        const Arguments arguments(command, {words.begin() + 1, words.end()});
        if (arguments.wants_help()) return print(help_of(command));
        return command.run(arguments);
    }
    throw UsageError("there is no command '" + words[0] + "'; smh --help lists them");
}

// A closed standard stream must not hand its number to a file that is opened later: reading from
// it or writing to it has to fail.
void occupy_closed_streams() {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream)
        if (::fcntl(stream, F_GETFD) < 0)
            ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

}  // namespace

int main(int argc, char** argv) {
    // A closed pipe and a file over the limit are failed writes, with a message and no remains.
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    occupy_closed_streams();
    const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
    const std::string name = words.empty() ? "smh" : "smh " + words[0];
    try {
        run(all_commands(), words);
        return ok;
    } catch (const UsageError& error) {
        std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
        return misused;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "%s: not enough memory\n", name.c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
    }
    return failed;
}
