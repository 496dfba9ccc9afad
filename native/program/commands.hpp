// The commands of smh.
#ifndef SMH_COMMANDS_HPP
#define SMH_COMMANDS_HPP

#include <vector>

#include "arguments.hpp"

// Text files, as the reference program: ifindex, weights, discover.
std::vector<Command> text_commands();

// Binary streams between processes: sketch, merge, mine, cluster.
std::vector<Command> stream_commands();

#endif
