// Files, standard input and output, and memory, as Source and Sink.
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smh.hpp"

namespace smh {
namespace {

std::string reason() { return std::strerror(errno); }

class FileSource : public Source {
  public:
    FileSource(int file, std::string name, bool owned)
        : file_(file), name_(std::move(name)), owned_(owned) {}
    FileSource(const FileSource&) = delete;
    FileSource& operator=(const FileSource&) = delete;
    ~FileSource() override {
        if (owned_) ::close(file_);
    }

    std::size_t read(char* buffer, std::size_t size) override {
        for (;;) {
            const ssize_t got = ::read(file_, buffer, size);
            if (got >= 0) return static_cast<std::size_t>(got);
            if (errno != EINTR) throw Error(name_ + ": cannot be read: " + reason());
        }
    }

  private:
    int file_;
    std::string name_;
    bool owned_;
};

class MemorySource : public Source {
  public:
    MemorySource(const char* bytes, std::size_t size) : bytes_(bytes), left_(size) {}
    std::size_t read(char* buffer, std::size_t size) override {
        const std::size_t now = size < left_ ? size : left_;
        if (now > 0) std::memcpy(buffer, bytes_, now);
        bytes_ += now;
        left_ -= now;
        return now;
    }

  private:
    const char* bytes_;
    std::size_t left_;
};

// Writes to a descriptor; the errors of both write and close count.
class FileSink : public Sink {
  public:
    FileSink(int file, std::string name) : file_(file), name_(std::move(name)) {}
    FileSink(const FileSink&) = delete;
    FileSink& operator=(const FileSink&) = delete;
    ~FileSink() override {
        if (file_ > STDERR_FILENO) ::close(file_);
    }

    void write(const char* bytes, std::size_t size) override {
        while (size > 0) {
            const ssize_t put = ::write(file_, bytes, size);
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) throw Error(name_ + ": cannot be written: " + reason());
            bytes += put;
            size -= static_cast<std::size_t>(put);
        }
    }

    void finish() override {
        const int file = file_;
        file_ = -1;
        if (::close(file) != 0 && errno != EINTR)
            throw Error(name_ + ": cannot be written: " + reason());
    }

  protected:
    int file_;
    std::string name_;
};

// Writes beside the file and renames when all is there; until then the name is as it was.
class ReplacingSink : public FileSink {
  public:
    ReplacingSink(int file, std::string beside, std::string target, std::string name)
        : FileSink(file, std::move(name)),
          beside_(std::move(beside)),
          target_(std::move(target)) {}
    ReplacingSink(const ReplacingSink&) = delete;
    ReplacingSink& operator=(const ReplacingSink&) = delete;
    ~ReplacingSink() override {
        if (!beside_.empty()) ::unlink(beside_.c_str());
    }

    void finish() override {
        FileSink::finish();
        if (::rename(beside_.c_str(), target_.c_str()) != 0)
            throw Error(name_ + ": cannot be replaced: " + reason());
        beside_.clear();
    }

  private:
    std::string beside_;
    std::string target_;
};

class MemorySink : public Sink {
  public:
    explicit MemorySink(std::string& bytes) : bytes_(bytes) {}
    void write(const char* bytes, std::size_t size) override { bytes_.append(bytes, size); }
    void finish() override {}

  private:
    std::string& bytes_;
};

// Through symbolic links to the file itself, so that the links stay.
std::string resolved(const std::string& path) {
    char* found = ::realpath(path.c_str(), nullptr);
    if (found == nullptr) return path;
    std::string target = found;
    std::free(found);
    return target;
}

std::unique_ptr<Sink> open_replacing(const std::string& path, mode_t mode) {
    const std::string target = resolved(path);
    const std::string beside = target + ".part" + std::to_string(::getpid());
    const int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file < 0) throw Error(path + ": cannot be created: " + reason());
    return std::make_unique<ReplacingSink>(file, beside, target, path);
}

}  // namespace

std::unique_ptr<Source> open_source(const std::string& path) {
    if (path == "-") return std::make_unique<FileSource>(STDIN_FILENO, "standard input", false);
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw Error(path + ": cannot be opened: " + reason());
    return std::make_unique<FileSource>(file, path, true);
}

std::unique_ptr<Source> memory_source(const void* bytes, std::size_t size) {
    return std::make_unique<MemorySource>(static_cast<const char*>(bytes), size);
}

std::unique_ptr<Sink> open_sink(const std::string& path) {
    if (path == "-") return std::make_unique<FileSink>(STDOUT_FILENO, "standard output");
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno != ENOENT) throw Error(path + ": cannot be created: " + reason());
        return open_replacing(path, 0666);
    }
    if (S_ISREG(status.st_mode)) return open_replacing(path, status.st_mode & 0777U);
    const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0) throw Error(path + ": cannot be written: " + reason());
    return std::make_unique<FileSink>(file, path);
}

void check_sink(const std::string& path) {
    if (path == "-") return;
    struct stat status {};
    const bool exists = ::stat(path.c_str(), &status) == 0;
    std::string place = path;
    if (!exists || S_ISREG(status.st_mode)) {  // a file is written beside its name
        place = resolved(path);
        const std::size_t slash = place.rfind('/');
        place = slash == std::string::npos ? "." : place.substr(0, slash + 1);
    }
    if (::access(place.c_str(), W_OK) != 0)
        throw Error(path + ": cannot be written: " + reason());
    if (exists && S_ISDIR(status.st_mode)) throw Error(path + ": is a directory");
}

std::unique_ptr<Sink> memory_sink(std::string& bytes) {
    return std::make_unique<MemorySink>(bytes);
}

}  // namespace smh
