// Command lines: what a command takes, its help, and checked access to what was given.
#ifndef SMH_ARGUMENTS_HPP
#define SMH_ARGUMENTS_HPP

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// The command line is wrong; exit code 2.
class UsageError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct Option {
    char letter;        // 0 where there is only the long name
    std::string name;   // long name with hyphens; underscores are accepted too
    std::string value;  // what its value is called in the help; empty for a switch
    std::string help;
};

class Arguments;

struct Command {
    std::string name;
    std::string operands;  // as the usage line shows them
    std::size_t least;     // number of operands
    std::size_t most;
    std::string summary;
    std::string details;
    std::vector<Option> options;
    void (*run)(const Arguments&);
};

class Arguments {
  public:
    Arguments(const Command& command, const std::vector<std::string>& words);

    bool wants_help() const { return has("help"); }
    bool has(const std::string& name) const { return given_.count(name) > 0; }
    const std::vector<std::string>& operands() const { return operands_; }

    // The option's value, or the default when it was not given.
    std::string text(const std::string& name, const std::string& otherwise = "") const;
    std::uint32_t number(const std::string& name, std::uint32_t otherwise, std::uint32_t least,
                         std::uint32_t most) const;
    double real(const std::string& name, double otherwise, double least, double most) const;
    // A number that must be given.
    std::uint32_t required(const std::string& name, std::uint32_t least, std::uint32_t most) const;

  private:
    std::map<std::string, std::string> given_;
    std::vector<std::string> operands_;
};

std::string help_of(const Command& command);

#endif
